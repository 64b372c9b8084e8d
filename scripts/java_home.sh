#!/bin/sh
# Prints the home of a Java that Spark can use: 17 or 21, with the vector module that Spark starts with.
# Looks at JAVA_HOME, then at PATH, then where packages install it. Without one, prints to stderr the one line
# that installs it, and exits 1. `java_home.sh --install-line` prints that line only.
set -eu

usable() { # usable HOME: true if HOME/bin/java is a Java 17 or 21 that knows the module
    [ -x "$1/bin/java" ] || return 1
    case "$("$1/bin/java" -version 2>&1)" in
    *'version "17'* | *'version "21'*) ;;
    *) return 1 ;;
    esac
    "$1/bin/java" --add-modules jdk.incubator.vector -version >/dev/null 2>&1
}

home_on_path() { # the home of the java on PATH, asked of Java itself: PATH may hold links or wrapper scripts
    command -v java >/dev/null 2>&1 || return 0
    java -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java\.home = //p' || true
}

install_line() {
    admin="sudo "
    [ "$(id -u)" -ne 0 ] || admin=""
    if [ "$(uname -s)" = Darwin ]; then
        echo "brew install openjdk@17"
    elif command -v apt-get >/dev/null 2>&1; then
        release=17
        # Debian 13 and later have no package of 17.
        # shellcheck source=/dev/null
        if (. /etc/os-release && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-13}" -ge 13 ]) 2>/dev/null; then
            release=21
        fi
        echo "${admin}apt-get update && ${admin}apt-get install -y openjdk-$release-jre-headless"
    elif command -v dnf >/dev/null 2>&1; then
        echo "${admin}dnf install -y java-21-openjdk-headless"
    else
        echo "install a Java 17 or 21 runtime and set JAVA_HOME to it"
    fi
}

if [ "${1:-}" = --install-line ]; then
    install_line
    exit 0
fi

for home in "${JAVA_HOME:-}" "$(home_on_path)" \
    "${JVM_DIR:-/usr/lib/jvm}"/*17* "${JVM_DIR:-/usr/lib/jvm}"/*21* \
    /opt/homebrew/opt/openjdk@17/libexec/openjdk.jdk/Contents/Home \
    /opt/homebrew/opt/openjdk@21/libexec/openjdk.jdk/Contents/Home \
    /usr/local/opt/openjdk@17/libexec/openjdk.jdk/Contents/Home \
    /Library/Java/JavaVirtualMachines/*/Contents/Home; do
    if [ -n "$home" ] && usable "$home"; then
        echo "$home"
        exit 0
    fi
done

echo "Spark needs Java 17 or 21 and none was found (JAVA_HOME, PATH, /usr/lib/jvm). Install it with:" >&2
echo "    $(install_line)" >&2
exit 1
