# What .ci/run and .ci/nightly have in common: how a step is run and told, and what the steps do. Sourced by both.
#
# Works on a copy in a temporary directory, with fresh virtual environments, and on databases of its own that it drops.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d -t django-jobs-ci-XXXXXX)
source_tree=$work/source
# Short: what tests put before and behind it must stay below the 63 characters of PostgreSQL.
database=ci_$(date +%s)_$$

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export DEBIAN_FRONTEND=noninteractive
# What a test leaves in the temporary directory lies in ours, and is removed with it.
mkdir -p "$work/tmp" "$source_tree"
# PostgreSQL servers of the tests run as another user where this one is root: that user must be able to pass.
chmod 711 "$work" "$work/tmp"
export TMPDIR=$work/tmp
# The machine's own wishes must not reach the tests: each step sets what it wants.
unset DATABASE_URL REDIS_URL DJANGO_SETTINGS_MODULE SECRET_KEY DEBUG ALLOWED_HOSTS PYTHONPATH VIRTUAL_ENV
# Tests start hundreds of processes. Where a machine forbids to write bytecode, each would compile the whole package anew.
unset PYTHONDONTWRITEBYTECODE

# Tests come in an order that changes from commit to commit, and is the same each time for one: a failure can be repeated.
seed=${SEED:-$(git -c safe.directory='*' -C "$root" rev-list --count HEAD)}
export PYTEST_ADDOPTS=--randomly-seed=$seed

results=$work/results
: >"$results"
redis_port=$((20000 + $$ % 10000))
axe_version=4.14.1
socket_io_version=4.8.4

step() { # step NAME COMMAND...: run it in a subshell of its own, time it, remember how it ended
    local name=$1 started=$SECONDS code mark
    shift
    printf '\n=== %s\n' "$name"
    (set -eo pipefail; cd "$source_tree"; "$@") </dev/null
    code=$?
    mark=$([ $code = 0 ] && echo ok || echo "FAILED ($code)")
    printf '=== %s: %s after %d s\n' "$name" "$mark" $((SECONDS - started))
    printf '%-13s%5d s  %s\n' "$mark" $((SECONDS - started)) "$name" >>"$results"
}

side_by_side() { # side_by_side COUNT NAME COMMAND [NAME COMMAND]...: steps, so many at once, each begun when one ended
    local count=$1
    shift
    while [ $# -gt 0 ]; do
        while [ "$(jobs -rp | wc -l)" -ge "$count" ]; do wait -n; done
        printed_step "$1" "$2" &
        shift 2
    done
    wait
}

printed_step() { # printed_step NAME COMMAND: a step whose output comes in one piece when it ended
    local log=$work/step-$BASHPID.log
    # shellcheck disable=SC2086  # a command may have arguments
    step "$1" $2 >"$log" 2>&1
    flock "$work/printing" cat "$log"
}

summary() { # summary COUNT: each step's time and result, and each suite's closing line; fails unless COUNT steps went well
    local log
    printf '\n=== Summary after %d s, seed %s\n' $SECONDS "$seed"
    cat "$results"
    for log in "$work"/closing-*.log; do
        printf '%s: ' "$(basename "$log" .log | cut -c9-)"
        # pytest's closing line; its absence is told, since the run of that suite then died before it.
        grep -aE '^=+ .* in [0-9.]+s.* =+$' "$log" 2>/dev/null | tail -1 | grep . || echo 'no closing line'
    done
    [ "$(grep -c '^ok ' "$results")" = "$1" ]
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

apt_install() { # one at a time, since steps go side by side
    (
        flock 9
        as_root apt-get update -qq
        as_root apt-get install -y -qq --no-install-recommends "$@"
    ) 9>"$work/apt"
}

answers() { timeout 2 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1" 2>/dev/null; }

wait_for_port() {
    local deadline=$((SECONDS + 30))
    until answers "$1"; do
        [ $SECONDS -lt $deadline ] || { echo "nothing answers on port $1"; return 1; }
        sleep 0.2
    done
}

clean_up() {
    local process name
    # A hung suite leaves servers and workers behind. Ours are those that work, or were started, below our directory.
    for process in /proc/[0-9]*; do
        case "$(readlink "$process/cwd" 2>/dev/null)" in
            "$work" | "$work"/*) kill -KILL "${process#/proc/}" 2>/dev/null ;;
        esac
    done
    for name in $(psql -h 127.0.0.1 -U postgres -Atc "SELECT datname FROM pg_database WHERE datname LIKE '%$database%'" 2>/dev/null); do
        psql -q -h 127.0.0.1 -U postgres -c "DROP DATABASE IF EXISTS \"$name\" WITH (FORCE)" >/dev/null 2>&1
    done
    for name in $(command mariadb -h 127.0.0.1 -u root -Ne "SHOW DATABASES LIKE '%$database%'" 2>/dev/null); do
        command mariadb -h 127.0.0.1 -u root -e "DROP DATABASE IF EXISTS \`$name\`" >/dev/null 2>&1
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# --- what the steps do ------------------------------------------------------------------------------------------------

copy_source() {
    # What is committed, and while one works on it also what is new: never what git ignores.
    cd "$root"
    git -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
        while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done |
        tar --null --files-from=- --create | tar --extract --directory "$source_tree"
    # For the steps that need a tree in which no other step works.
    cp -R "$source_tree" "$work/readme"
    cp -R "$source_tree" "$work/packaged"
}

find_python() { # find_python 3.11: the path of that version's interpreter
    local candidate
    for candidate in "python$1" "/usr/bin/python$1" "/usr/local/bin/python$1" python3 /usr/bin/python3; do
        if [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

make_venv() { # make_venv VERSION NAME
    local python
    python=$(find_python "$1") || { apt_install "python$1" "python$1-venv"; python=$(find_python "$1"); }
    "$python" -c 'import ensurepip' 2>/dev/null || apt_install "python$1-venv"
    "$python" -m venv "$work/$2"
    "$work/$2/bin/python" --version
}

install() { # install VENV REQUIREMENT...
    local venv=$work/$1
    shift
    "$venv/bin/pip" install --quiet "$@"
    "$venv/bin/pip" list 2>/dev/null | grep -iE '^(django|rq|channels|redis|pytest) ' | tr -s ' ' | paste -sd, -
}

make_newest() { # Python 3.13 and the newest Django
    make_venv 3.13 py313
    # mysqlclient has no wheels and is compiled.
    if ! command -v mariadb_config >/dev/null || ! command -v pkg-config >/dev/null; then
        apt_install pkg-config libmariadb-dev gcc
    fi
    install py313 -e '.[test,dev,docs,postgres,mariadb]' 'Django>=6.1,<7'
}

make_oldest() { # Python 3.11 and Django 5.2; and Django 6.0, whose task interface is another one
    make_venv 3.11 py311
    install py311 -e '.[test,mariadb,postgres]' 'Django>=5.2,<5.3'
    "$work/py313/bin/pip" install --quiet --no-deps --target "$work/django60" 'Django>=6.0,<6.1'
}

programs() { # what tests start beside the services
    # Tests let Prometheus itself read the metrics, and its promtool the alert rules; they find texts that are in no catalog.
    command -v promtool >/dev/null || apt_install prometheus
    command -v xgettext >/dev/null || apt_install gettext
    command -v /usr/bin/chromium >/dev/null || apt_install chromium
    command -v node >/dev/null || apt_install nodejs
}

start() {
    programs
    start_services
}

start_services() {
    if ! answers 5432; then
        as_root pg_ctlcluster --skip-systemctl-redirect "$(ls /etc/postgresql)" main start
    fi
    if ! answers 3306; then
        as_root start-stop-daemon --start --oknodo --background --exec /usr/sbin/mariadbd
    fi
    # A Redis of this run alone: what the suites empty is nobody else's.
    (cd "$work/tmp" && redis-server --daemonize yes --bind 127.0.0.1 --port "$redis_port" --databases 64 --save "" --appendonly no)
    wait_for_port 5432 && wait_for_port 3306 && wait_for_port "$redis_port"
}

documentation() { # the site; a link that leads nowhere, or a page that has no place in it, is a warning
    "$work/py313/bin/sphinx-build" -q -W -c docs . "$work/site"
}

lint() {
    "$work/py313/bin/ruff" check .
    "$work/py313/bin/ruff" format --check .
}

types() { "$work/py313/bin/mypy"; }

project_checks() { # project_checks VENV: migrations must look the same to both ends of the supported versions
    local python=$work/$1/bin/python
    DATABASE_URL=sqlite:///$work/check.sqlite3 "$python" -W error::DeprecationWarning manage.py check
    DATABASE_URL=sqlite:///$work/check.sqlite3 "$python" manage.py makemigrations --check --dry-run
}

suite() { # suite LABEL VENV PYTEST-ARGUMENTS...: the tests and which took longest; the closing line is kept for the end
    local label=$1 venv=$work/$2 log=$work/closing-$1.log code=0
    shift 2
    PATH=$venv/bin:$PATH timeout --kill-after=30 "${SUITE_SECONDS:-2700}" \
        "$venv/bin/python" -m pytest --durations=15 "$@" 2>&1 | tee "$log" || code=$?
    return "$code"
}

on_postgresql() { # on_postgresql LABEL VENV REDIS PYTEST-ARGUMENTS...: a suite on a database, and Redis' logical ones from this number on
    local label=$1 venv=$2 redis=$3
    shift 3
    DATABASE_URL=postgres://postgres@127.0.0.1:5432/${database}_$label REDIS_URL=redis://127.0.0.1:$redis_port/$redis \
        suite "$label" "$venv" "$@"
}

on_mariadb() { # the same on MariaDB
    local label=$1 venv=$2 redis=$3
    shift 3
    DATABASE_URL=mysql://root@127.0.0.1:3306/${database}_$label REDIS_URL=redis://127.0.0.1:$redis_port/$redis \
        suite "$label" "$venv" "$@"
}

in_a_browser() { # in_a_browser LABEL PYTEST-ARGUMENTS...: people's pages in Chromium, and the browser's code in Node
    local label=$1
    shift
    command -v npm >/dev/null || apt_install npm
    # axe looks at the admin's pages for people with screen readers, keyboards and weak eyes.
    npm install --prefix "$work/axe" --ignore-scripts --no-audit --no-fund --silent "axe-core@$axe_version"
    npm install --prefix "$work/socketio" --ignore-scripts --no-audit --no-fund --silent \
        "socket.io-client@$socket_io_version"
    CI=true AXE=$work/axe/node_modules/axe-core/axe.min.js DOCUMENTATION=$work/site SOCKET_IO_CLIENT=$work/socketio \
        suite "$label" py313 "$@"
}

# The two commands that README.md gives, as it gives them: in one directory where nothing has run yet, the demo first.
demo_command="python3 -m venv .venv && . .venv/bin/activate && pip install -e '.[demo]' && python manage.py demo"
test_command="pip install -e '.[test]' && pytest"

in_readme() { grep -qF -- "$1" README.md || { echo "README.md does not give this command: $1"; return 1; }; }

readme_commands() {
    in_readme "$demo_command"
    in_readme "$test_command"
    cd "$work/readme"
    PATH=$work/py313/bin:$PATH timeout --kill-after=30 300 bash -c "$demo_command --once"
    . .venv/bin/activate
    timeout --kill-after=30 2700 bash -c "$test_command" 2>&1 | tee "$work/closing-readme.log"
}

wheel() {
    "$work/py313/bin/python" -m build --outdir "$work/dist" "$work/packaged"
    ls -l "$work/dist"
    make_venv 3.13 wheel
    "$work/wheel/bin/pip" install --quiet "$work"/dist/*.whl
    cd "$work/tmp"
    "$work/wheel/bin/python" -I -W error - <<'PYTHON'
import importlib.metadata
import pathlib

import django_jobs
from django.conf import settings

assert not settings.configured
distribution = importlib.metadata.distribution("django-durable-jobs")
assert distribution.version == django_jobs.__version__
files = {str(file) for file in distribution.files or ()}
strangers = {file for file in files if not file.startswith(("django_jobs/", "django_durable_jobs-"))}
assert not strangers, strangers
source = pathlib.Path("../packaged")
expected = {
    str(path.relative_to(source))
    for path in (source / "django_jobs").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}
missing = expected - files
assert not missing, missing
assert "django_jobs/py.typed" in files and "django_jobs/migrations/0001_initial.py" in files
print(f"{distribution.name} {distribution.version}: {len(expected)} files, imported without settings")
PYTHON
}
