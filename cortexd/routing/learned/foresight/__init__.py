"""What learning would save and answer, estimated before it is turned on."""

from cortexd.routing.learned.foresight.estimate import Estimate, Outlook
from cortexd.routing.learned.foresight.forward import Standpoint
from cortexd.routing.learned.foresight.records import Contender, Record
from cortexd.routing.learned.foresight.report import Ahead, Figures, ModelRow, Report, TaskRow, report

__all__ = [
    "Ahead",
    "Contender",
    "Estimate",
    "Figures",
    "ModelRow",
    "Outlook",
    "Record",
    "Report",
    "Standpoint",
    "TaskRow",
    "report",
]
