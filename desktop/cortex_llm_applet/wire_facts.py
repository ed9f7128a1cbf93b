"""Names and signatures of the bus API, made by script/applet-facts from org.cortexlinux.LLMRouter.xml."""

BUS_NAME = "org.cortexlinux.LLMRouter"
OBJECT_PATH = "/org/cortexlinux/LLMRouter"
INTERFACE = "org.cortexlinux.LLMRouter"
ASK_ACTION = "org.cortexlinux.LLMRouter.complete"
# method -> interface and signature of its arguments
METHODS = {
    "Ask": ("org.cortexlinux.LLMRouter", "(ss)"),
    "Complete": ("org.cortexlinux.LLMRouter", "(saa{sv})"),
    "CompleteWithOptions": ("org.cortexlinux.LLMRouter", "(saa{sv}a{sv})"),
    "CompleteBatch": ("org.cortexlinux.LLMRouter", "(a(saa{sv})a{sv})"),
    "OpenStream": ("org.cortexlinux.LLMRouter", "(saa{sv}a{sv})"),
    "CompleteRaw": ("org.cortexlinux.LLMRouter", "(sssa{sv})"),
    "OpenRawStream": ("org.cortexlinux.LLMRouter", "(sssa{sv})"),
    "Cancel": ("org.cortexlinux.LLMRouter", "(s)"),
    "ListRequests": ("org.cortexlinux.LLMRouter", "()"),
    "ReportOutcome": ("org.cortexlinux.LLMRouter", "(sda{sv})"),
    "GetRequest": ("org.cortexlinux.LLMRouter", "(s)"),
    "Route": ("org.cortexlinux.LLMRouter", "(saa{sv}a{sv})"),
    "Subscribe": ("org.cortexlinux.LLMRouter.Usage", "(a{sv})"),
    "Unsubscribe": ("org.cortexlinux.LLMRouter.Usage", "(u)"),
    "GetStats": ("org.cortexlinux.LLMRouter.Usage", "()"),
    "ResetStats": ("org.cortexlinux.LLMRouter.Usage", "()"),
    "GetUsage": ("org.cortexlinux.LLMRouter.Usage", "(a{sv})"),
    "GetLearningReport": ("org.cortexlinux.LLMRouter.Usage", "(a{sv})"),
    "GetBudget": ("org.cortexlinux.LLMRouter.Usage", "()"),
    "SetOwnBudget": ("org.cortexlinux.LLMRouter.Usage", "(a{sv})"),
    "ListHolds": ("org.cortexlinux.LLMRouter.Usage", "()"),
    "AnswerHold": ("org.cortexlinux.LLMRouter.Usage", "(ssa{sv})"),
    "ListProviders": ("org.cortexlinux.LLMRouter.Manager", "()"),
    "GetPreferences": ("org.cortexlinux.LLMRouter.Manager", "()"),
    "SetPreferences": ("org.cortexlinux.LLMRouter.Manager", "(a{sv})"),
    "SetBudget": ("org.cortexlinux.LLMRouter.Manager", "(a{sv})"),
    "GetLearned": ("org.cortexlinux.LLMRouter.Manager", "()"),
    "ExportLearned": ("org.cortexlinux.LLMRouter.Manager", "()"),
    "ImportLearned": ("org.cortexlinux.LLMRouter.Manager", "(sa{sv})"),
    "ResetLearned": ("org.cortexlinux.LLMRouter.Manager", "(a{sv})"),
    "Reload": ("org.cortexlinux.LLMRouter.Manager", "()"),
    "VerifyProvider": ("org.cortexlinux.LLMRouter.Manager", "(s)"),
}
# signal of INTERFACE -> signature
SIGNALS = {
    "CostIncurred": "(ssssda{sv})",
    "TotalsChanged": "(tda{sv})",
    "ProviderStateChanged": "(ssa{sv})",
    "BudgetThreshold": "(sddd)",
    "BudgetHeld": "(sda{sv})",
    "HoldEnded": "(ss)",
    "PeriodStarted": "(s)",
}
