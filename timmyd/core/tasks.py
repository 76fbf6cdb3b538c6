"""Task types of calls; the table lives in the house kit, which needs it alone too."""

from timmyd.house.tasks import DEFAULT_TASKS, OTHER, TASK_TYPES, TaskTable, problems

__all__ = ["DEFAULT_TASKS", "OTHER", "TASK_TYPES", "TaskTable", "problems"]
