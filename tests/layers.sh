#!/bin/sh
# Every include points downwards (design.md 3), libraries stay where they belong, no file is too big.
# First each rule is broken once in a temporary tree, to see that it is noticed.
# usage: tests/layers.sh [ROOT]     ends with `N passed, N failed`
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
root=${1:-$here}
folders="core msrp sip config actors load-tests tests"

# --- the rules ---

sources() { # paths below $1, which is the working directory
	for folder in $folders; do
		[ ! -d "$folder" ] || find "$folder" -name '*.[ch]' -o -name '*.def'
	done | sort
}

includes() { # prints what is wrong with the includes of the tree in the working directory
	sources | xargs awk '
	BEGIN {
		below["core"] = " core "
		below["msrp"] = " core msrp "
		below["sip"] = " core sip "
		below["config"] = " core msrp sip config "
		below["actors"] = " core msrp sip config actors "
		below["load-tests"] = below["actors"] "load-tests "
		below["tests"] = below["load-tests"] "tests "
		# header: where it may stand
		where["^liburing([.]h|/)"] = "^core/ring_uring[.]c$"
		where["^sqlite3"] = "^(core/store[a-z_]*|tests/unit/disk)[.]c$"
		where["^openssl/"] = "^(core/tls[.]c|(core|sip)/[a-z_]*digest[a-z_]*[.]c|load-tests/(credentials|flow_tls)[.]c)$"
		where["^libxml2?/"] = "^core/xml[.]c$"
		where["^re([.]h|/)"] = "^sip/"
		where["^ares([.]h|_)"] = "^core/resolver[.]c$"
		generated["imserv.yaml.h"] = "config"
		generated["schema.sql.h"] = "core"
		generated["schema_2.sql.h"] = "core"
		generated["schema_3.sql.h"] = "core"
		generated["schema_4.sql.h"] = "core"
		generated["dashboard.html.h"] = "actors"
	}
	function wrong(why) { printf "%s:%d: %s\n", FILENAME, FNR, why }
	function ours(name, folder, target) {
		if (generated[name] == folder)
			return
		if (name !~ /^[a-z-]+\// || name ~ /\.\./ || system("test -f " name) != 0)
			return wrong("\"" name "\" is not written from the root")
		target = substr(name, 1, index(name, "/") - 1)
		if (!index(below[folder], " " target " "))
			wrong("\"" name "\": " folder "/ must not know " target "/")
	}
	/^[ \t]*#[ \t]*include[ \t]*["<]/ {
		folder = substr(FILENAME, 1, index(FILENAME, "/") - 1)
		name = $0
		sub(/^[^"<]*["<]/, "", name)
		sub(/[">].*/, "", name)
		for (header in where)
			if (name ~ header && FILENAME !~ where[header])
				wrong("<" name "> belongs elsewhere: " where[header])
		if ($0 ~ /"/)
			ours(name, folder)
		else if (name ~ /^(core|msrp|sip|config|actors|load-tests|tests)\//)
			wrong("<" name "> is ours: write it with quotes")
	}' /dev/null
}

sizes() { # tracked files over 1 MiB; outside git, all but build folders
	{ [ -e .git ] && git ls-files -z 2>/dev/null ||
		find . \( -path './build*' -o -path ./.git \) -prune -o -type f -print0; } |
		xargs -0 -r sh -c 'for f; do [ ! -f "$f" ] || [ "$(wc -c <"$f")" -le 1048576 ] || echo "$f: over 1 MiB"; done' sh
}

long_functions() { # only told: a table may be long
	sources | xargs awk '
	/^\{/ { start = FNR }
	/^\}/ { if (start && FNR - start > 100)
			printf "# %s:%d: a function of %d lines\n", FILENAME, start, FNR - start - 1
		start = 0 }
	FNR == 1 { start = 0 }' /dev/null
}

# --- counting ---

passed=0 failed=0
count() { # count NAME PROBLEMS: no problems is a pass
	if [ -z "$2" ]; then
		passed=$((passed + 1))
		echo "ok $1"
	else
		failed=$((failed + 1))
		echo "FAIL $1"
		echo "$2"
	fi
}

# --- each rule broken once ---

noticed() { # noticed RULE FILE 'LINE' 'WORDS': RULE says WORDS when FILE contains LINE
	mkdir -p "$(dirname "$2")"
	printf '%s\n' "$3" >"$2"
	said=$("$1")
	rm "$2"
	case $said in
	*"$2"*"$4"*) count "a planted $2 with $3 is noticed" "" ;;
	*) count "a planted $2 with $3 is noticed" "$1 said: $said" ;;
	esac
}

allowed() { # allowed FILE 'LINE'
	mkdir -p "$(dirname "$1")"
	printf '%s\n' "$2" >"$1"
	count "$1 may have $2" "$(includes)"
	rm "$1"
}

self_test() {
	mkdir core msrp sip config actors
	for folder in core msrp sip config actors; do
		echo '/* nothing */' >$folder/known.h
	done
	noticed includes core/up.c '#include "msrp/known.h"' 'must not know'
	noticed includes msrp/sibling.h '#include "sip/known.h"' 'must not know'
	noticed includes sip/sibling.c '#include "msrp/known.h"' 'must not know'
	noticed includes sip/up.c '#	include "config/known.h"' 'must not know'
	noticed includes config/up.def '#include "actors/known.h"' 'must not know'
	noticed includes core/near.c '#include "known.h"' 'from the root'
	noticed includes core/dots.c '#include "core/../core/known.h"' 'from the root'
	noticed includes core/angle.c '#include <core/known.h>' 'with quotes'
	noticed includes core/ring_epoll.c '#include <liburing.h>' 'belongs elsewhere'
	noticed includes actors/rows.c '#include <sqlite3.h>' 'belongs elsewhere'
	noticed includes msrp/cipher.c '#include <openssl/ssl.h>' 'belongs elsewhere'
	noticed includes actors/document.c '#include <libxml/tree.h>' 'belongs elsewhere'
	noticed includes core/grammar.c '#include <re.h>' 'belongs elsewhere'
	allowed core/ring_uring.c '#include <liburing.h>'
	allowed sip/known.c '#include <re/re.h>'
	allowed actors/all.c '#include "sip/known.h"'
	allowed config/default.c '#include "imserv.yaml.h"'
	dd if=/dev/zero of=big bs=1024 count=1025 2>/dev/null
	case $(sizes) in
	*"big: over 1 MiB"*) count "a file of 1025 KiB is noticed" "" ;;
	*) count "a file of 1025 KiB is noticed" "sizes said nothing" ;;
	esac
}

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cd "$tree" && self_test
cd "$root" || exit 1
count "includes point downwards, libraries are where they belong" "$(includes)"
count "no file over 1 MiB" "$(sizes)"
long_functions
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
