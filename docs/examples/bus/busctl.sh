#!/bin/sh
# One answer as plain text, one with options and metadata, and what it all cost.
set -eu
service=org.cortexlinux.LLMRouter
object=/org/cortexlinux/LLMRouter
prompt=${1:-What is a cgroup?}

busctl call --timeout=600 --json=short -- $service $object $service Ask ss user_chat "$prompt" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["data"][0])'

# aa{sv}: 1 message of 2 keys. a{sv}: 2 options. Each value is preceded by its type.
busctl call --timeout=600 --json=pretty -- $service $object $service CompleteWithOptions 'saa{sv}a{sv}' \
    user_chat \
    1 2 role s user content s "$prompt" \
    2 max_tokens i 200 labels 'a{ss}' 1 team web

busctl call --json=short $service $object $service.Usage GetUsage 'a{sv}' 1 group_by as 2 day model
busctl get-property $service $object $service Version Providers
