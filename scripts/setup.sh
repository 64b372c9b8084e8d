#!/bin/sh
# Makes an environment hold exactly what its lock says: `setup.sh` that of scoring, .venv, with this project in editable
# form; `setup.sh control` that of scheduling, .venv-control, with Airflow and nothing of ours. Repeats nothing that is
# done; repairs what was left half done. PYTHON=... chooses the interpreter of both.
set -eu
cd "$(dirname "$0")/.."

NAME=${1:-scoring}
SCORING=.venv
case $NAME in
scoring) VENV=$SCORING SIZE="900 MB" PROOF="import scoretrail" ;;
# Not by an import: Airflow's writes a configuration file into the home folder.
control) VENV=.venv-control SIZE="60 MB" PROOF="from importlib.metadata import version; version('apache-airflow')" ;;
*) echo "setup: there is no environment $NAME" >&2 && exit 2 ;;
esac
LOCK=locks/$NAME.txt
UV=$SCORING/bin/uv
STAMP=$VENV/setup.stamp # the fingerprint of what was installed; written last
PYTHON_RANGE="(3, 11) <= sys.version_info < (3, 14)"

say() { printf '==> %s\n' "$*"; }

fail() {
    printf 'setup: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf '    %s\n' "$2" >&2
    exit 1
}

fingerprint() { # what was installed, and where: a copied environment still points at the original
    cksum "$LOCK" pyproject.toml
    pwd
}

fits() { "$1" -c "import sys; sys.exit(not ($PYTHON_RANGE))" >/dev/null 2>&1; }

find_python() { # the first that runs and fits: a name on PATH may be a shim of a version that is not installed
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        if fits "$candidate"; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

admin() { [ "$(id -u)" -eq 0 ] || printf 'sudo '; }

python_hint() {
    if [ "$(uname -s)" = Darwin ]; then
        echo "brew install python@3.13"
    elif command -v apt-get >/dev/null 2>&1; then
        echo "$(admin)apt-get update && $(admin)apt-get install -y python3 python3-venv"
    else
        echo "install Python 3.11, 3.12 or 3.13, or name it: make setup PYTHON=/path/to/python3"
    fi
}

venv_hint() {
    if command -v apt-get >/dev/null 2>&1; then
        echo "$(admin)apt-get update && $(admin)apt-get install -y python3-venv"
    else
        echo "install the venv and ensurepip modules of $1"
    fi
}

lock_of_installer() { # the lines of the lock for uv, and for setuptools, with which it builds what comes as source
    awk '/^[^ #]/ { wanted = /^(setuptools|uv)==/ } wanted' "$LOCK"
}

is_current() {
    [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$(fingerprint)" ] && "$VENV/bin/python" -c "$PROOF" >/dev/null 2>&1
}

is_usable() { # was made here, and not left half done
    [ -f "$STAMP" ] && [ "$(tail -n 1 "$STAMP")" = "$(pwd)" ] && fits "$VENV/bin/python"
}

make_scoring() {
    python=$(find_python) || fail "Python 3.11, 3.12 or 3.13 is needed and none was found. Install it with:" "$(python_hint)"
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
        fail "$("$python" --version) has no module venv. Install it with:" "$(venv_hint "$python")"
    say "Making $VENV with $("$python" --version)"
    "$python" -m venv --clear "$VENV"
    say "Installing uv"
    lock_of_installer >"$VENV/installer.txt"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$VENV/installer.txt"
}

make_control() {
    [ -x "$UV" ] || fail "$SCORING must be made first: its uv installs this one, too. Run:" "make setup"
    say "Making $VENV with $("$SCORING/bin/python" --version)"
    "$UV" venv --quiet --clear --no-project --python "$(readlink -f "$SCORING/bin/python")" "$VENV"
}

install_scoring() {
    say "Installing scoretrail itself, editable"
    VIRTUAL_ENV=$PWD/$VENV "$UV" pip install --quiet --no-deps --no-build-isolation --editable .
}

if is_current; then
    exit 0
fi
if ! is_usable || { [ "$NAME" = scoring ] && ! "$UV" --version >/dev/null 2>&1; }; then
    "make_$NAME"
fi
rm -f "$STAMP"
say "Installing the packages of $LOCK (about $SIZE to download the first time)"
VIRTUAL_ENV=$PWD/$VENV "$UV" pip sync --require-hashes --no-build-isolation "$LOCK"
[ "$NAME" = control ] || install_scoring
fingerprint >"$STAMP"
say "The environment is ready: $VENV"
