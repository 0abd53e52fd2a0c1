# Completion of imservd, imservctl and imflood for bash.  Options are those that --help names.
# shellcheck shell=bash

# The long options of a program, from its help.
_imserv_options()
{
	"$1" --help 2>/dev/null | grep -oE -- '(^|[^[:alnum:]-])--[a-z][a-z-]+' | grep -oE -- '--[a-z-]+' | sort -u
}

# _imserv_offer WORDS: those that begin as the word under the cursor does.
_imserv_offer()
{
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

_imserv_files()
{
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
}

# KEY= of every key of the configuration, as --print-config tells them.
_imserv_keys()
{
	compopt -o nospace 2>/dev/null
	_imserv_offer "$("$1" --print-config 2>/dev/null | awk '
		/^[a-z_]+:/ { split($1, section, ":"); is_list = 0 }
		/^(  - |[a-z_]+: +\[)/ && !is_list { is_list = 1; print section[1] "=" }
		/^  (# )?[a-z_0-9]+:/ { sub(/^  (# )?/, ""); split($0, key, ":"); print section[1] "." key[1] "=" }')"
}

_imservd()
{
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	-c | --config) _imserv_files ;;
	--set) _imserv_keys "$1" ;;
	*) _imserv_offer "-c $(_imserv_options "$1")" ;;
	esac
}

_imservctl()
{
	local words=() i word

	case ${COMP_WORDS[COMP_CWORD - 1]} in
	--api) _imserv_offer http://127.0.0.1:9090; return ;;
	--token-file | --pcap) _imserv_files; return ;;
	--timeout | --user | --from | --to) COMPREPLY=(); return ;;
	esac
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--api | --token-file | --timeout | --user | --from | --to | --pcap) ((i++)) ;;
		-*) ;;
		*) words+=("$word") ;;
		esac
	done
	if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
		_imserv_offer "$(_imserv_options "$1")"
		return
	fi
	case ${#words[@]}:${words[*]} in
	0:) _imserv_offer "status sessions conferences mailbox user doc drain reload trace history" ;;
	1:user) _imserv_offer "add del passwd" ;;
	1:doc) _imserv_offer "put get del" ;;
	1:history) _imserv_offer "search" ;;
	2:mailbox*) _imserv_offer "delete" ;;
	"2:doc put"* | "2:doc del"*)
		_imserv_offer "org.openmobilealliance.groups org.openmobilealliance.im-rules resource-lists" ;;
	2:doc*) _imserv_offer "org.openmobilealliance.groups org.openmobilealliance.im-rules resource-lists
		org.openmobilealliance.deferred-list" ;;
	*) COMPREPLY=() ;;
	esac
}

_imflood()
{
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	--mode) _imserv_offer "standalone ims relay forwarder" ;;
	--answer) _imserv_offer "active passive" ;;
	--record | --output) _imserv_files ;;
	--*)
		# what takes a value has one behind it in the help
		if "$1" --help 2>/dev/null | grep -qE -- "${COMP_WORDS[COMP_CWORD - 1]} [A-Z]" && [[ ${COMP_WORDS[COMP_CWORD]} != -* ]]; then
			COMPREPLY=()
		else
			_imserv_offer "$(_imserv_options "$1")"
		fi
		;;
	*)
		if [[ $COMP_CWORD == 1 && ${COMP_WORDS[1]} != -* ]]; then
			_imserv_offer "$("$1" --help 2>/dev/null | sed -nE 's/^  ([a-z]+)  +[^ ].*/\1/p')"
		elif [[ ${COMP_WORDS[1]} == report ]]; then
			_imserv_files
		else
			_imserv_offer "$(_imserv_options "$1")"
		fi
		;;
	esac
}

complete -F _imservd imservd
complete -F _imservctl imservctl
complete -F _imflood imflood
