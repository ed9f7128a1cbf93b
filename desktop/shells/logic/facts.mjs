// Names, words and entries that the applet has too, made by script/applet-facts from its tables.

export const BUS_NAME = "org.cortexlinux.LLMRouter";
export const OBJECT_PATH = "/org/cortexlinux/LLMRouter";
export const INTERFACE = "org.cortexlinux.LLMRouter";
export const ASK_ACTION = "org.cortexlinux.LLMRouter.complete";
export const METHODS = {
    "Subscribe": ["org.cortexlinux.LLMRouter.Usage", "(a{sv})"],
    "Unsubscribe": ["org.cortexlinux.LLMRouter.Usage", "(u)"],
    "GetBudget": ["org.cortexlinux.LLMRouter.Usage", "()"],
    "GetStats": ["org.cortexlinux.LLMRouter.Usage", "()"],
    "ListRequests": ["org.cortexlinux.LLMRouter", "()"],
    "Cancel": ["org.cortexlinux.LLMRouter", "(s)"],
    "ListProviders": ["org.cortexlinux.LLMRouter.Manager", "()"],
    "GetUsage": ["org.cortexlinux.LLMRouter.Usage", "(a{sv})"],
    "ListHolds": ["org.cortexlinux.LLMRouter.Usage", "()"],
};
export const UNIT = "cortex-llm-router.service";
export const IN_WORDS = {
    "loading": "looking for cortexd",
    "ok": "all is well",
    "warn": "near the end of a budget",
    "over": "a budget is used up",
    "stale": "cortexd does not run now",
    "unconfigured": "no key yet",
    "error": "something is wrong",
};
export const TROUBLES = [
    {"name": "no_bus", "state": "error", "meaning": "The system bus cannot be reached.", "step": "Restart the computer if this stays so.", "command": "", "words": ""},
    {"name": "not_installed", "state": "error", "meaning": "cortexd is not installed.", "step": "Install the package cortexd.", "command": "", "words": ""},
    {"name": "masked", "state": "error", "meaning": "An administrator has switched cortexd off.", "step": "Switch it on: {command}", "command": "sudo systemctl unmask cortex-llm-router", "words": ""},
    {"name": "failed", "state": "error", "meaning": "cortexd failed and does not run.", "step": "See why: {command}", "command": "journalctl -b -u cortex-llm-router", "words": ""},
    {"name": "restarting", "state": "error", "meaning": "cortexd fails and is started again and again.", "step": "See why: {command}", "command": "journalctl -b -u cortex-llm-router", "words": ""},
    {"name": "stopped", "state": "stale", "meaning": "cortexd does not run now.", "step": "Your next request starts it, or: {command}", "command": "sudo systemctl start cortex-llm-router", "words": ""},
    {"name": "refused", "state": "error", "meaning": "cortexd serves another user here.", "step": "Start it on your own bus, or use the system's.", "command": "", "words": ""},
    {"name": "ledger_full", "state": "error", "meaning": "cortexd cannot write its ledger, so it spends nothing.", "step": "Make room on the disk; {command} says more.", "command": "journalctl -b -u cortex-llm-router", "words": ""},
    {"name": "not_allowed", "state": "error", "meaning": "You are not allowed to ask language models.", "step": "An administrator can add you to the group cortex; then log in again.", "command": "", "words": ""},
    {"name": "no_key", "state": "unconfigured", "meaning": "No provider has a key yet.", "step": "Set one: {command}", "command": "sudo cortexctl credentials set claude", "words": ""},
    {"name": "held", "state": "over", "meaning": "A request has no room under your own cap and waits for your answer.", "step": "Answer its question, or see: {command}", "command": "cortexctl budget holds", "words": "a request waits for your answer"},
    {"name": "clock_wrong", "state": "error", "meaning": "The computer's clock is wrong, so costs count for the wrong day.", "step": "Set it: {command}", "command": "timedatectl set-ntp true", "words": ""},
    {"name": "used_up", "state": "over", "meaning": "A budget is used up.", "step": "Wait until it starts again, or ask an administrator for more.", "command": "", "words": ""},
    {"name": "own_cap_used_up", "state": "over", "meaning": "The cap that you have set yourself is used up.", "step": "Allow yourself more: {command}", "command": "cortexctl budget allow 1.00", "words": ""},
];
export const ENTRIES = {
    "TROUBLE": 1,
    "STEP": 2,
    "TODAY": 4,
    "MONTH": 5,
    "LEFT": 6,
    "BUDGETS": 10,
    "COSTS_HEAD": 21,
    "COSTS": 30,
    "RUNNING_HEAD": 41,
    "RUNNING": 50,
    "MORE": 61,
};
export const LEFT = {
    "user day": "Left of your budget today",
    "user month": "Left of your budget this month",
    "group day": "Left of {name}'s budget today",
    "group month": "Left of {name}'s budget this month",
    "machine day": "Left of this computer's budget today",
    "machine month": "Left of this computer's budget this month",
    "own day": "Left of your own cap today",
    "own month": "Left of your own cap this month",
};
export const LEFT_OF_ANY = "Left of a budget";
export const LEFT_IN_WORDS = "{left} of {limit}";
