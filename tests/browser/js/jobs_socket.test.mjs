// One file, because all of it is one class, seen from without.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { FakeWebSocket, install, load, pass, uninstall } from "./fakes.mjs";

const ORG = "org:ORG-1";
let JobsSocket;

beforeEach(async () => {
	install();
	({ JobsSocket } = await load());
});
afterEach(uninstall);

async function opened(options = {}) {
	const socket = new JobsSocket({ url: "wss://shop.example/ws/jobs/", ...options });
	await pass();
	FakeWebSocket.last.accept();
	return socket;
}

async function reconnected() {
	FakeWebSocket.last.drop();
	await pass(500);
	FakeWebSocket.last.accept();
}

function heard(socket, ...events) {
	const found = [];
	for (const event of events) socket.addEventListener(event, ({ type, detail }) => found.push([type, detail]));
	return found;
}

const changed = (id, room = ORG) => ({ event: "job_status_changed", room, id, data: { job_id: "JOB-1" } });
const joined = (cursor, more) => ({ event: "joined", room: ORG, cursor, ...more });

test("without a ticket the session's cookie speaks", async () => {
	await opened();
	assert.deepEqual(FakeWebSocket.last.protocols, []);
});

test("a ticket goes as a subprotocol", async () => {
	await opened({ getTicket: async () => "abc" });
	assert.deepEqual(FakeWebSocket.last.protocols, ["jobs.v1", "ticket.abc"]);
});

test("each connection has a ticket of its own", async () => {
	let number = 0;
	await opened({ getTicket: async () => `t${++number}` });
	await reconnected();
	assert.deepEqual(FakeWebSocket.last.protocols, ["jobs.v1", "ticket.t2"]);
});

test("a ticket that cannot be had is asked for again", async () => {
	const answers = [Promise.reject(new Error("no network")), "abc"];
	new JobsSocket({ url: "wss://shop.example/", getTicket: () => answers.shift() });
	await pass();
	await pass(500);
	assert.equal(FakeWebSocket.all.length, 1);
});

test("a room that is asked for before the connection is joined with it", async () => {
	const socket = new JobsSocket({ url: "wss://shop.example/" });
	socket.join(ORG, { since: 7 });
	await pass();
	FakeWebSocket.last.accept();
	assert.deepEqual(FakeWebSocket.last.frames, [{ action: "join", room: ORG, since: 7 }]);
});

test("a room is joined once", async () => {
	const socket = await opened();
	socket.join(ORG);
	socket.join(ORG);
	await pass(1000);
	assert.equal(FakeWebSocket.last.frames.length, 1);
});

test("what the server says is an event with the message", async () => {
	const socket = await opened();
	socket.join(ORG);
	const found = heard(socket, "job_status_changed");
	FakeWebSocket.last.say(changed(3));
	assert.deepEqual(found, [["job_status_changed", changed(3)]]);
});

test("a known id is dropped", async () => {
	const socket = await opened();
	socket.join(ORG);
	const found = heard(socket, "job_status_changed");
	FakeWebSocket.last.say(changed(3));
	FakeWebSocket.last.say(changed(3));
	assert.equal(found.length, 1);
});

test("a lower id that comes later is told", async () => {
	const socket = await opened();
	socket.join(ORG);
	const found = heard(socket, "job_status_changed");
	FakeWebSocket.last.say(changed(5));
	FakeWebSocket.last.say(changed(4));
	assert.equal(found.length, 2);
});

test("the same event in two rooms is told in both", async () => {
	const socket = await opened();
	socket.join(ORG);
	socket.join("job:JOB-1");
	const found = heard(socket, "job_status_changed");
	FakeWebSocket.last.say(changed(3));
	FakeWebSocket.last.say(changed(3, "job:JOB-1"));
	assert.equal(found.length, 2);
});

test("after a lost connection each room goes on where it was", async () => {
	const socket = await opened();
	socket.join(ORG);
	FakeWebSocket.last.say(joined(10));
	FakeWebSocket.last.say(changed(12));
	FakeWebSocket.last.say(changed(11));
	await reconnected();
	assert.deepEqual(FakeWebSocket.last.frames, [{ action: "join", room: ORG, since: 12 }]);
});

test("a replay that was cut off is asked for from its last event", async () => {
	const socket = await opened();
	socket.join(ORG, { since: 10 });
	FakeWebSocket.last.say(joined(20));
	FakeWebSocket.last.say(changed(11));
	await reconnected();
	assert.equal(FakeWebSocket.last.frames[0].since, 11);
});

test("after a resync the past is over", async () => {
	const socket = await opened();
	socket.join(ORG, { since: 10 });
	FakeWebSocket.last.say(joined(5000, { resync: true }));
	await reconnected();
	assert.equal(FakeWebSocket.last.frames[0].since, 5000);
});

test("a room that was left is not joined again", async () => {
	const socket = await opened();
	socket.join(ORG);
	socket.leave(ORG);
	await reconnected();
	assert.deepEqual(FakeWebSocket.last.frames, []);
});

test("what comes late from a room that was left is not told", async () => {
	const socket = await opened();
	socket.join(ORG);
	socket.leave(ORG);
	const found = heard(socket, "job_status_changed");
	FakeWebSocket.last.say(changed(3));
	assert.deepEqual(found, []);
});

test("a room that is closed to us is told and not joined again", async () => {
	const socket = await opened();
	socket.join(ORG);
	const found = heard(socket, "left");
	FakeWebSocket.last.say({ event: "left", room: ORG, reason: "forbidden" });
	await reconnected();
	assert.equal(found[0][1].reason, "forbidden");
	assert.deepEqual(FakeWebSocket.last.frames, []);
});

test("a room that is not there is told and not joined again", async () => {
	const socket = await opened();
	socket.join(ORG);
	const found = heard(socket, "error");
	FakeWebSocket.last.say({ event: "error", code: "not_found", room: ORG, detail: "There is no such room." });
	await reconnected();
	assert.equal(found[0][1].code, "not_found");
	assert.deepEqual(FakeWebSocket.last.frames, []);
});

test("pauses between attempts grow and end at half a minute", async () => {
	new JobsSocket({ url: "wss://shop.example/" });
	const pauses = [];
	for (let attempt = 1; attempt <= 8; attempt++) {
		await pass();
		FakeWebSocket.last.drop();
		let waited = 0;
		while (FakeWebSocket.all.length === attempt) await pass(((waited += 500), 500));
		pauses.push(waited);
	}
	assert.deepEqual(pauses, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
});

test("a crowd does not come back all at once", async (t) => {
	t.mock.method(Math, "random", () => 0);
	await opened();
	FakeWebSocket.last.drop();
	await pass(250);
	assert.equal(FakeWebSocket.all.length, 2);
});

test("a server that answers is trusted again", async () => {
	const socket = await opened();
	await reconnected();
	FakeWebSocket.last.say({ event: "pong" });
	await reconnected();
	assert.equal(FakeWebSocket.all.length, 3);
	assert.equal(socket.open, true);
});

test("whoever may not come in stops trying", async () => {
	const socket = await opened();
	const found = heard(socket, "close");
	FakeWebSocket.last.drop(4401);
	await pass(600_000);
	assert.deepEqual(found, [["close", { code: 4401 }]]);
	assert.equal(FakeWebSocket.all.length, 1);
});

test("a closed socket stays closed", async () => {
	const socket = await opened();
	const first = FakeWebSocket.last;
	socket.close();
	await pass(600_000);
	assert.equal(first.isClosed, true);
	assert.equal(FakeWebSocket.all.length, 1);
});

test("closing while the ticket is on its way opens nothing", async () => {
	const socket = new JobsSocket({ url: "wss://shop.example/", getTicket: async () => "abc" });
	socket.close();
	await pass(600_000);
	assert.equal(FakeWebSocket.all.length, 0);
});

test("a connection that answers no ping is given up", async () => {
	await opened();
	const first = FakeWebSocket.last;
	await pass(15_000);
	await pass(15_000);
	assert.equal(first.isClosed, true);
	await pass(500);
	assert.equal(FakeWebSocket.all.length, 2);
});

test("a connection that answers is kept", async () => {
	await opened();
	await pass(15_000);
	FakeWebSocket.last.say({ event: "pong" });
	await pass(15_000);
	assert.deepEqual(FakeWebSocket.last.frames, [{ action: "ping" }, { action: "ping" }]);
	assert.equal(FakeWebSocket.all.length, 1);
});

test("many rooms are joined no faster than the server takes frames", async () => {
	const socket = await opened();
	for (let number = 0; number < 100; number++) socket.join(`job:${number}`);
	for (let turn = 0; turn < 100; turn++) await pass(10);
	const inASecond = FakeWebSocket.last.frames.length;
	for (let turn = 0; turn < 600; turn++) await pass(10);
	assert.ok(inASecond > 12 && inASecond < 20, `${inASecond}`);
	assert.equal(FakeWebSocket.last.frames.length, 100);
});
