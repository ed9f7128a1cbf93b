#!/bin/sh
# The same with GLib's tool, which shows the texts of all errors. -i: polkit may ask for a password.
set -eu
service=org.cortexlinux.LLMRouter
prompt=${1:-What is a cgroup?}

call() {
    method=$1
    shift
    gdbus call --system --timeout 600 -i --dest $service --object-path /org/cortexlinux/LLMRouter \
        --method $service."$method" -- "$@"
}

call Ask user_chat "$prompt"
call CompleteWithOptions user_chat "[{'role': <'user'>, 'content': <'$prompt'>}]" "{'max_tokens': <200>}"
call Route code_generation "[{'role': <'user'>, 'content': <'$prompt'>}]" "@a{sv} {}" # who would answer; costs nothing
call Usage.GetStats
