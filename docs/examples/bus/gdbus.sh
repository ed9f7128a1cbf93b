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

# GVariant text: every argument is read as such, and a bare one has its backslashes interpreted
text=\'$(printf %s "$prompt" | sed "s/[\\\\']/\\\\&/g")\'

call Ask user_chat "$text"
call CompleteWithOptions user_chat "[{'role': <'user'>, 'content': <$text>}]" "{'max_tokens': <200>}"
call Route code_generation "[{'role': <'user'>, 'content': <$text>}]" "@a{sv} {}" # who would answer; costs nothing
call Usage.GetStats
