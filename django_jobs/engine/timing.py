"""Every constant of time of the engine, the worker and the broker, in the order of the work.

A number is in seconds. Where one must stay below another, the comment says it.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

# The server's answer

#: A new connection to the database may take so long.
DATABASE_CONNECT_SECONDS: Final = 10
#: The server has so long to end a statement of another connection.
STATEMENT_END_SECONDS: Final = 1.0
#: The rows of a transaction that is open for longer are no longer waited for.
OPEN_TRANSACTION_SECONDS: Final = 60.0
#: While the host's code works inside a transaction, the server gets a sign of life this often. Below
#: LOCK_SILENCE_SECONDS.
TRANSACTION_SIGN_SECONDS: Final = 0.5
#: Log lines may name an organization by an id that was read so long ago.
ORGANIZATION_ID_SECONDS: Final = 1.0
#: Ids and times of submission may be out of order by this: one call that submits many jobs takes so long at most.
ID_ORDER_SLACK: Final = dt.timedelta(minutes=2)
#: The kernel probes a database that was silent for so long.
KEEPALIVE_IDLE_SECONDS: Final = 5
#: The kernel waits so long between two probes. Below KEEPALIVE_IDLE_SECONDS.
KEEPALIVE_PROBE_SECONDS: Final = 2

# Submission

#: Before its n-th try, a submission pauses for a random part of n - 2 times this.
SUBMISSION_RETRY_SECONDS: Final = 0.002
#: A submitter that met a full backlog is told to try again after this.
FULL_BACKLOG_RETRY_SECONDS: Final = 10.0
#: An answer of the broker that took longer is late: whoever submits asks no more then for BROKER_BREAK_SECONDS. Below
#: BROKER_ANSWER_SECONDS.
LATE_BROKER_SECONDS: Final = 0.2
#: A submission goes by what the workers wanted so long ago: to read it anew takes a statement. Below
#: WORKER_GONE_SECONDS.
SUBMISSION_WINDOW_SECONDS: Final = 2.0
#: A submission relies for so long on the broker having had no room. Below SECOND_LOOK_SECONDS.
BROKER_FULL_SECONDS: Final = 0.004

# Dispatch

#: The pools of the types are read anew after this.
POOLS_MEMORY_SECONDS: Final = 1.0
#: A pass goes by what the workers wanted so long ago. Below SUBMISSION_WINDOW_SECONDS.
WINDOW_MEMORY_SECONDS: Final = 0.25
#: A worker process without a sign for so long counts as gone. Below WORKER_FORGOTTEN_SECONDS.
WORKER_GONE_SECONDS: Final = 30
#: Pauses between tries while another dispatcher has the lock. A pass takes milliseconds; these take a second.
PASS_RETRY_SECONDS: Final = (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, *[0.128] * 7)
#: The pauses of a submitter before it waits in line for the lock once.
SUBMISSION_PASS_RETRY_SECONDS: Final = (0.002, 0.004)
#: The lead of the passes after freed places is taken for so long, and renewed at each pass. Below
#: LONGEST_LEAD_SECONDS.
LEAD_SECONDS: Final = 0.3
#: One call leads for so long at most while others ring all the time.
LONGEST_LEAD_SECONDS: Final = 0.5
#: The leader rests so long between two passes, so that one pass serves several ends. Below LEAD_SECONDS.
PASS_PAUSE_SECONDS: Final = 0.003
#: The leader rests so long after it met the lock in other hands. Below LEAD_SECONDS.
LOCK_RETRY_SECONDS: Final = 0.02
#: The clock of rated starts looks this often for moments that passes have written.
START_CLOCK_LOOK_SECONDS: Final = 0.1
#: The clock of rated starts makes one pass in this time at most.
START_CLOCK_PASS_SECONDS: Final = 0.02
#: The clock of rated starts asks this often whether any type has a rate or a breaker.
START_CLOCK_USE_SECONDS: Final = 3.0
#: A whole count of what is in flight that takes longer is followed by counts from a mark.
SLOW_COUNT_SECONDS: Final = 0.002
#: A mark of what is in flight serves for so long.
COUNT_MARK_SECONDS: Final = 0.25
#: A note of a held job for longer than this comes from a machine whose clock differs. It does not count.
LONGEST_NOTE_SECONDS: Final = 60.0
#: The server ends a holder of the dispatcher's lock that is silent for so long. Below CHILD_STALL_SECONDS.
LOCK_SILENCE_SECONDS: Final = 3.0
#: A process waits in line for the dispatcher's lock for so long. A pass takes milliseconds. Below
#: LOCK_SILENCE_SECONDS.
LOCK_WAIT_SECONDS: Final = 0.25
#: Something slow is left out for so long at most: it may have waited for somebody.
LONGEST_REST_SECONDS: Final = 30.0
#: A whole walk of the backlog is slow if each of its statements takes longer than this.
SLOW_WALK_SECONDS: Final = 0.003
#: Each lane of a walk may take this on top.
SLOW_LANE_SECONDS: Final = 0.0002
#: Storing a new job as Queued counts as slow after this. Its commit is included, which a distant standby may have to
#: confirm. Below STORED_QUEUED_SECONDS.
SLOW_STORED_QUEUED_SECONDS: Final = 0.05
#: A new job that waited longer for another of the same work is stored as Pending, since things may have changed.
STORED_QUEUED_SECONDS: Final = 0.1
#: Walks from marks follow a slow walk for so long, at the least. Below LONGEST_REST_SECONDS.
WALK_MARK_SECONDS: Final = 2.0
#: Marks are written this often. Beside a snapshot each version of their row stays, and readers pass all of them.
#: Below WALK_MARK_SECONDS.
MARKS_SAVE_SECONDS: Final = 0.5
#: While walks are fast, a process forgets after so long from which lanes it took jobs.
TAKEN_LANES_SECONDS: Final = 60.0
#: One call that brings delayed jobs into their lanes may take so long.
DELAYED_JOBS_SECONDS: Final = 0.5
#: A delayed job that comes into its lane so late may lie behind a mark. Below WALK_MARGIN_SECONDS.
LATE_DUE_SECONDS: Final = 1.5
#: A tick of the scheduler ends expired jobs for so long.
EXPIRY_TICK_SECONDS: Final = 0.5
#: No mark of the backlog is younger than this: a job is seen only after its commit.
WALK_MARGIN_SECONDS: Final = 2
#: A mark of what is in flight lies so far back. A move to Queued may take so long until its commit.
COUNT_MARGIN_SECONDS: Final = 1
#: A policy's answer about an organization's share holds for so long. Below OLD_SHARE_ANSWER_SECONDS.
SHARE_ANSWER_SECONDS: Final = 5.0
#: A policy's answer about whether an organization's jobs start holds for so long. Below SHARE_ANSWER_SECONDS.
START_ANSWER_SECONDS: Final = 1.0
#: A pass goes by an older answer for so long. A claim asks again before a job starts.
OLD_SHARE_ANSWER_SECONDS: Final = 60.0
#: After a pass, a process asks the policy for so long.
SHARE_ASK_SECONDS: Final = 0.25
#: A job whose row was in use counts as held for so long: its ticket may lie behind many. Below LONGEST_NOTE_SECONDS.
HELD_TICKET_SECONDS: Final = 30.0
#: A breaker closes so long after the first completed try.
BREAKER_RECOVERY_SECONDS: Final = 10.0

# Claim, run, settle

#: A failing policy is logged this often.
POLICY_COMPLAINT_SECONDS: Final = 60.0
#: A duty that works for all organizations waits so long for a policy's answer about one.
TENANT_PATIENCE_SECONDS: Final = 0.5
#: A claim goes by a policy's answer for so long.
CLAIM_ANSWER_SECONDS: Final = 1.0
#: A job whose policy failed is tried again after this.
POLICY_FAILED_RETRY_SECONDS: Final = 5.0
#: Answers that hold for no longer than this are renewed before the next share of a backlog is taken. Below
#: CLAIM_ANSWER_SECONDS.
CLAIM_ANSWER_RENEWAL_SECONDS: Final = 0.3
#: A job ends if no worker could load its handler for so long.
NOT_LOADABLE_END_SECONDS: Final = 600
#: A claim that met only rows in use pauses for so long.
CLAIM_IN_USE_SECONDS: Final = 0.02
#: Before a share is taken, the policy is asked for so long. Below LOCK_WAIT_SECONDS.
SHARE_POLICY_SECONDS: Final = 0.05
#: A handler that is a coroutine is asked this often whether it is to end.
COROUTINE_WATCH_SECONDS: Final = 0.25
#: A coroutine that swallowed its cancellation is canceled again after this.
COROUTINE_CANCEL_REPEAT_SECONDS: Final = 2.0
#: First pause between two tries to store a step while the database is away. Below LONGEST_STEP_RETRY_SECONDS.
STEP_RETRY_SECONDS: Final = 0.05
#: The longest of these pauses.
LONGEST_STEP_RETRY_SECONDS: Final = 1.0
#: A settling that met rows in use pauses for so long.
SETTLE_IN_USE_SECONDS: Final = 0.02
#: A breaker spares the retries of a job for so long.
BREAKER_SPARES: Final = dt.timedelta(days=1)
#: After tries that failed, a breaker lets others try for longer and longer, up to this.
LONGEST_BREAKER_SECONDS: Final = 3600.0
#: No back-off is longer.
LONGEST_BACK_OFF_SECONDS: Final = 30 * 24 * 3600.0
#: The scheduler looks this often for leases that ran out.
LEASE_LOOK_SECONDS: Final = 3.0
#: A handler that has run for so long is noted as begun. Below HEARTBEAT_SECONDS.
NOTED_BEGUN_SECONDS: Final = 1.0
#: Another worker may try a job after so long whose handler one worker could not load. Below
#: NOT_LOADABLE_END_SECONDS.
NOT_LOADABLE_RETRY_SECONDS: Final = 5.0

# What follows from an end

#: Whether a batch has ended is looked at this often.
BATCH_LOOK_SECONDS: Final = 0.5
#: A tick of the scheduler reads changes of batches for so long.
BATCH_TICK_SECONDS: Final = 0.5
#: What follows a batch is submitted again after this, where it was refused for now.
BATCH_FOLLOWER_RETRY: Final = dt.timedelta(seconds=10)
#: One transaction takes up further levels of small families for so long. Below FAMILY_CALL_SECONDS.
FAMILY_TRANSACTION_SECONDS: Final = 0.05
#: The caller of a change, such as a web request, decides about dependent jobs for so long.
FAMILY_CALL_SECONDS: Final = 0.3
#: A tick of the scheduler decides about dependent jobs for so long.
FAMILY_TICK_SECONDS: Final = 0.5
#: Pauses between tries while another process decides about the same jobs.
FAMILY_RETRY_SECONDS: Final = (0.005, 0.02, 0.1)

# Duties

#: The leading scheduler's lease is for so long.
LEADER_SECONDS: Final = 10.0
#: A duty without a round for so long is reported as stalled.
DUTY_STALLED_SECONDS: Final = 30.0
#: The scheduler looks this often for stalled duties. Below DUTY_STALLED_SECONDS.
DUTY_LOOK_SECONDS: Final = 5.0
#: A scheduler's report of stalled duties counts for so long. It is renewed at each look.
DUTY_REPORT: Final = dt.timedelta(seconds=30)
#: A duty's thread looks this often whether this scheduler leads, and again after a round that failed. Below
#: LEADER_SECONDS.
LEADERSHIP_LOOK_SECONDS: Final = 1.0
#: A lease that ends so much later than a new one was written before the database's clock was set back.
CLOCK_SET_BACK: Final = dt.timedelta(seconds=5)
#: A scheduler that ends waits so long for its duties' rounds. Their transactions end with the process.
SCHEDULER_JOIN_SECONDS: Final = 2.0
#: A duty that found nothing to delete looks again after this.
FORGET_SECONDS: Final = 60.0
#: Events are counted this often. More events at once write fewer rows.
ROLLUP_SECONDS: Final = 5.0
#: Schedules are looked at this often where nothing is due in between.
CLOCKWORK_LOOK_SECONDS: Final = 1.0
#: Old firings are deleted this often.
CLOCKWORK_UPKEEP_SECONDS: Final = 60.0
#: A round of firings ends after this, once each organization had a turn.
FIRING_ROUND_SECONDS: Final = 0.5
#: A schedule whose firing broke rests for so long, so that it does not hold up others.
FIRING_REST_SECONDS: Final = 30.0
#: A firing that takes long is looked at again after this.
FIRING_LATE_SECONDS: Final = 1.0
#: Two firings by cron are at least so far apart.
SHORTEST_CRON_SECONDS: Final = 60
#: The caller of an act on a batch works on its jobs for so long.
BATCH_CALL_SECONDS: Final = 0.3
#: A tick of the scheduler works on acts on batches for so long.
BATCH_CONTROL_TICK_SECONDS: Final = 0.5
#: One call that renews the lane keys of a type may take so long.
LANE_KEYS_TICK_SECONDS: Final = 0.25
#: The same type is walked again so long after a walk, for submissions that took long.
LANE_KEYS_AGAIN_SECONDS: Final = (60.0, 600.0)
#: A scheduler that was not called for so long did not lead.
LANE_KEYS_GAP_SECONDS: Final = 60.0
#: An operation is counted this often while it goes on. Below ENDED_OPERATION_COUNT_SECONDS.
OPEN_OPERATION_COUNT_SECONDS: Final = 2
#: It is counted this often once it has ended. Below OLD_OPERATION_COUNT_SECONDS.
ENDED_OPERATION_COUNT_SECONDS: Final = 5
#: It is counted this often once nothing happened for OLD_OPERATION.
OLD_OPERATION_COUNT_SECONDS: Final = 60
#: An operation is old after this.
OLD_OPERATION: Final = dt.timedelta(hours=1)
#: A count of an operation tells for so long whether too many jobs fail. Below OPEN_OPERATION_COUNT_SECONDS.
OPERATION_COUNT_FRESH_SECONDS: Final = 1.0
#: An operation that was held up catches up on so many seconds' worth of jobs at once.
OPERATION_CATCH_UP_SECONDS: Final = 5.0
#: A job whose row is in use is tried again for so long.
OPERATION_HELD_ROW_SECONDS: Final = 10.0
#: Retention rests for so long between two passes.
RETENTION_PAUSE_SECONDS: Final = 60.0
#: A job that the database refused to delete is tried again after this.
RETENTION_REFUSED_SECONDS: Final = 24 * 3600.0
#: After a second of work retention rests for so long at least.
RETENTION_REST_SECONDS: Final = 0.1
#: The announcement of a worker without a sign for so long is deleted.
WORKER_FORGOTTEN_SECONDS: Final = 120
#: One step of a sweep may take so long.
SWEEP_STEP_SECONDS: Final = 0.25
#: A file that the storage refused to delete is tried again after this.
FILE_RETRY_SECONDS: Final = 10.0
#: The answer to an order of a supervisor that is gone is shown for so long.
ORDER_ANSWER_KEPT: Final = dt.timedelta(days=1)

# Alerts and numbers

#: An alarm that is over is kept for so long.
ALERT_KEPT: Final = dt.timedelta(days=1)
#: Pages that need no fresh alarms show what was read so long ago.
ALERTS_MEMORY_SECONDS: Final = 10.0
#: The rules of alarms are evaluated this often. Below ALERT_CLEAR_SECONDS.
ALERT_LOOK_SECONDS: Final = 10.0
#: A statement of a rule may take so long. Then the other rules are evaluated. Below OPEN_TRANSACTION_SECONDS.
ALERT_STATEMENT_SECONDS: Final = 30.0
#: An alarm is over when its rule did not hold for so long. Below SCHEDULER_SILENCE_SECONDS.
ALERT_CLEAR_SECONDS: Final = 30
#: Without an evaluation for so long, no scheduler ran.
SCHEDULER_SILENCE_SECONDS: Final = 180.0
#: A mail server may take so long for each answer, unless the host sets EMAIL_TIMEOUT or the MAILERS option
#: ``timeout``. Below MAIL_PATIENCE_SECONDS.
MAIL_ANSWER_SECONDS: Final = 30.0
#: In this time a bounded number of mails is sent.
MAIL_WINDOW: Final = dt.timedelta(minutes=10)
#: An alarm that comes again within this after its last mail waits for the end of it.
MAIL_QUIET: Final = dt.timedelta(minutes=30)
#: An alarm that was over for longer before anybody was told is not told any more.
MAIL_LATE: Final = dt.timedelta(hours=1)
#: The mailer looks this often for alarms. A scheduler that raises one looks at once.
MAIL_LOOK_SECONDS: Final = 10.0
#: The mailer looks this often whether a mail has gone. Below MAIL_PATIENCE_SECONDS.
MAIL_POLL_SECONDS: Final = 0.25
#: The log says of a mail that has not gone after this that the mail backend hangs.
MAIL_PATIENCE_SECONDS: Final = 60.0
#: Pause after the first failed mail, doubled with each further one. Below LONGEST_MAIL_RETRY_SECONDS.
MAIL_RETRY_SECONDS: Final = 5.0
#: The longest of these pauses.
LONGEST_MAIL_RETRY_SECONDS: Final = 600.0
#: A process that ends delivers waiting signals for so long.
SIGNALS_DRAIN_SECONDS: Final = 5.0
#: A batch whose end could not be told is a problem for so long.
BATCH_PROBLEM_KEPT: Final = dt.timedelta(days=1)
#: A due job that waits longer while workers are free is a problem.
STUCK_JOB_SECONDS: Final = 60
#: `jobs_check` looks twice, so far apart: a scheduler makes two ticks in it.
PROBLEM_LOOK_SECONDS: Final = 2.5
#: Rates and run times are those of this time.
METRICS_RECENT: Final = dt.timedelta(hours=1)
#: A tick of the scheduler catches up on counts for so long. Below ROLLUP_SECONDS.
ROLLUP_TICK_SECONDS: Final = 0.5
#: A statement that looks through jobs may take so long while somebody waits.
SEARCH_STATEMENT_SECONDS: Final = 5.0
#: A search begins no further statement after this. Below SEARCH_STATEMENT_SECONDS.
SEARCH_SECONDS: Final = 1.0
#: After a statement faster than this, a search looks through twice as many jobs. Below SLOW_SEARCH_SECONDS.
FAST_SEARCH_SECONDS: Final = 0.05
#: After a statement slower than this, a search looks through half as many jobs. Below SEARCH_SECONDS.
SLOW_SEARCH_SECONDS: Final = 0.2
#: The bound of a search is found anew after this.
SEARCH_BOUND_SECONDS: Final = 60.0
#: First pause between two looks of a caller who waits for a job. Below LONGEST_STATUS_LOOK_SECONDS.
STATUS_LOOK_SECONDS: Final = 0.01
#: The longest of these pauses.
LONGEST_STATUS_LOOK_SECONDS: Final = 0.25
#: A ticket for a socket is valid for so long.
SOCKET_PASS_SECONDS: Final = 60

# The worker

#: A child without jobs looks around this often.
CHILD_TICK_SECONDS: Final = 0.05
#: A burst waits so long for tickets that may be under way.
BURST_LAST_LOOK_SECONDS: Final = 1.0
#: It looks for them this often. Below BURST_LAST_LOOK_SECONDS.
BURST_LOOK_SECONDS: Final = 0.01
#: A quiet worker looks this often whether it is to take jobs again.
QUIET_WORKER_LOOK_SECONDS: Final = 0.2
#: An event loop that stands still for so long is logged, once.
LOOP_BLOCKED_SECONDS: Final = 1.0
#: A process that nobody saw for so long, and that used little of a processor, was frozen.
CHILD_FROZEN_SECONDS: Final = 0.5
#: A child that ends tries to settle again after this.
SETTLE_RETRY_SECONDS: Final = 0.05
#: A child whose threads show no pulse for so long runs only the code that holds its interpreter. Below
#: INTERPRETER_LONG_HELD_SECONDS.
INTERPRETER_HELD_SECONDS: Final = 0.25
#: After this a condemned child is no longer spared for its other jobs: they can do nothing.
INTERPRETER_LONG_HELD_SECONDS: Final = 1.0
#: A child sees a revocation within this. A processor needs a millionth of it. Below INTERPRETER_HELD_SECONDS.
REVOCATION_SEEN_SECONDS: Final = 0.04
#: Between two looks at the children no more time counts: the supervisor may have been frozen.
LONGEST_CHILDREN_LOOK_SECONDS: Final = 0.5
#: After it refilled the broker, a child looks at the backlog once more after this.
SECOND_LOOK_SECONDS: Final = 5 * BROKER_FULL_SECONDS
#: On a database with one writer, a claim waits for a refill under way for so long.
ONE_WRITER_REST_SECONDS: Final = 0.25
#: For so long after a limited job ended, a refill does not wait in line for the lock: the limits keep the window
#: open.
FREED_PLACE_SECONDS: Final = 0.5
#: A thread that had nothing to do for so long closes its connections.
IDLE_CONNECTION_SECONDS: Final = 5.0
#: A connection that rested for so long is tried before a handler gets it. Below IDLE_CONNECTION_SECONDS.
RESTED_CONNECTION_SECONDS: Final = 0.5
#: A call that outlives its handler by so long is left behind.
HUNG_CALL_SECONDS: Final = 3.0
#: Until then the loop looks this often whether it has ended. Below HUNG_CALL_SECONDS.
HUNG_CALL_LOOK_SECONDS: Final = 0.01
#: Tasks that a handler left behind have so long to end once they are canceled. Below HUNG_CALL_SECONDS.
LEFT_BEHIND_TASK_SECONDS: Final = 1.0
#: A job that was claimed so lately has its lease for certain.
FRESH_CLAIM_SECONDS: Final = 1.0
#: The event loop shows this often that it moves. Below LOOP_BLOCKED_SECONDS.
LOOP_BEAT_SECONDS: Final = 0.1
#: A child's housekeeper looks around this often. Below HOUSEKEEPER_IDLE_TICK_SECONDS.
HOUSEKEEPER_TICK_SECONDS: Final = 0.05
#: It does so more rarely while nothing runs: waking up is most of what an idle worker costs.
HOUSEKEEPER_IDLE_TICK_SECONDS: Final = 0.2
#: A claimed job that waits behind a job which runs for longer than this is requeued. Below WAITED_BEHIND_SECONDS.
REQUEUE_LOOK_SECONDS: Final = 0.1
#: With several slots, a claimed job may wait for its turn for so long.
WAITED_BEHIND_SECONDS: Final = 0.25
#: A child announces itself this often. Below WORKER_GONE_SECONDS.
HEARTBEAT_SECONDS: Final = 5.0
#: A child tells this often that it wants less than before. Below WORKER_GONE_SECONDS.
WANTED_WINDOW_SECONDS: Final = 0.25
#: A worker that lost the channel of RQ's commands listens again after this.
LISTEN_RETRY_SECONDS: Final = 1.0
#: A child that could not store how jobs ended tries again after this, then after twice as long. Below
#: LONGEST_SETTLE_PAUSE_SECONDS.
SETTLE_PAUSE_SECONDS: Final = 0.1
#: The longest of these pauses. Below CHILD_STALL_SECONDS.
LONGEST_SETTLE_PAUSE_SECONDS: Final = 2.0
#: A child's main loop, or its refiller, rests for so long after it failed.
FAILED_ROUND_SECONDS: Final = 1.0
#: The housekeeper settles again this often what could not be settled.
UNSETTLED_LOOK_SECONDS: Final = 0.1
#: A child claims only what it expects to start within this. Below LARGE_CLAIM_AHEAD_SECONDS.
CLAIM_AHEAD_SECONDS: Final = 0.03
#: It claims for this long where it starts so many jobs that claims cost more than waits.
LARGE_CLAIM_AHEAD_SECONDS: Final = 0.05
#: The broker should hold what a slot finishes in this time, or in the time that a refill takes. Below
#: LONGEST_SLOT_WINDOW_SECONDS.
SLOT_WINDOW_SECONDS: Final = 0.02
#: The broker should never hold more than a slot finishes in this time.
LONGEST_SLOT_WINDOW_SECONDS: Final = 0.25
#: To claim and settle one of many jobs takes so long.
JOB_OVERHEAD_SECONDS: Final = 0.0001
#: A ticket whose row is in use is kept for so long, and each further time for twice as long. Below
#: LONGEST_HELD_ROW_SECONDS.
HELD_ROW_SECONDS: Final = 0.25
#: A ticket whose row is in use is kept for no longer.
LONGEST_HELD_ROW_SECONDS: Final = 4.0
#: For so long after that, its job still counts as held.
HELD_ROW_RECENT_SECONDS: Final = 2.0
#: A claim without an answer for so long is given up. Its statement is over by then.
DOUBTED_CLAIM_SECONDS: Final = 20.0
#: A job that runs for longer is shown in RQ's lists.
SHOWN_JOB_SECONDS: Final = 0.5
#: A handler that swallowed an interruption is interrupted again after this.
INTERRUPT_REPEAT_SECONDS: Final = 2.0
#: A signal may need so long to be seen. A second one before that would hold up the first. Below
#: INTERRUPT_REPEAT_SECONDS.
INTERRUPT_SIGNAL_SECONDS: Final = 0.5
#: A signal at a place where the handler's blocks may miss the exception is put off for so long.
INTERRUPT_PUT_OFF_SECONDS: Final = 1.0
#: A supervisor looks this often for orders.
ORDER_LOOK_SECONDS: Final = 2.0
#: A release that met a row in use is tried again after this.
RELEASE_RETRY_SECONDS: Final = 0.25
#: A supervisor that ends deals with reported losses for so long.
RELEASE_LEAVE_SECONDS: Final = 10.0
#: A burst tries again for so long what fails: somebody waits for its end.
BURST_RETRY_SECONDS: Final = 3.0
#: The same failure is logged this often. It is tried again every second.
FAILURE_LOG_SECONDS: Final = 60.0
#: The fork server may take so long to fork, and to end. It takes milliseconds.
FORK_SERVER_SECONDS: Final = 5.0
#: A handler that ignores its timeout is killed after so long.
TIMEOUT_GRACE_SECONDS: Final = 5.0
#: After a thread could not be started, no job starts for so long.
THREAD_START_RETRY_SECONDS: Final = 1.0
#: The main loop waits for room for so long before it looks again.
ROOM_LOOK_SECONDS: Final = 0.5
#: A process has so long to write its stacks. On a busy machine it may not run for a second.
STACKS_SECONDS: Final = 3.0
#: A process that wrote its stacks, and then nothing for so long, has finished. Below STACKS_SECONDS.
STACKS_QUIET_SECONDS: Final = 0.04
#: A child that claims or settles for so long without getting on is killed. Imports of handlers take less.
CHILD_STALL_SECONDS: Final = 300.0
#: The supervisor looks at its children this often.
SUPERVISOR_TICK_SECONDS: Final = 0.05
#: The supervisor kills children that did not end so long after their grace.
STOP_MARGIN_SECONDS: Final = 5.0
#: A child that dies sooner than this is not replaced at once.
HEALTHY_CHILD_SECONDS: Final = 2.0

# The broker

#: After a failed call, the broker is left alone for so long.
BROKER_BREAK_SECONDS: Final = 1.0
#: A worker looks this often whether `rq suspend` still holds.
RQ_SUSPENDED_LOOK_SECONDS: Final = 0.5
#: A connection to the broker may take so long. Below BROKER_ANSWER_SECONDS.
BROKER_CONNECT_SECONDS: Final = 0.5
#: The broker may take so long for an answer. Below BROKER_BLOCK_SECONDS.
BROKER_ANSWER_SECONDS: Final = 1.0
#: A child waits at the broker for so long for the next ticket. Below HEARTBEAT_SECONDS.
BROKER_BLOCK_SECONDS: Final = 2
#: Entries that are no tickets of ours are logged this often.
FOREIGN_ENTRY_LOG_SECONDS: Final = 10.0
#: What a killed worker ran disappears from RQ's lists after this.
RQ_PUBLISHED_SECONDS: Final = 60
