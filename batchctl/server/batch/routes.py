"""The one route table: every operation of the REST API (2025-06-01), built or not.

An operation without a handler answers 501 and names itself; nothing is ever a silent success.
"""

from typing import NamedTuple

from batchctl.server.batch.call import Handler
from batchctl.server.batch.handlers import (
    account,
    autoscale,
    job_schedules,
    jobs,
    node_files,
    node_operations,
    node_users,
    nodes,
    pool_properties,
    pools,
    task_files,
    tasks,
)


class Operation(NamedTuple):
    """One verb on one path; the name is the official Python SDK's."""

    method: str
    path: str
    name: str
    handler: Handler | None


_JOB = "/jobs/{jobId}"
_TASK = f"{_JOB}/tasks/{{taskId}}"
_SCHEDULE = "/jobschedules/{jobScheduleId}"
_POOL = "/pools/{poolId}"
_NODE = f"{_POOL}/nodes/{{nodeId}}"
_FILE = "files/{filePath:path}"

OPERATIONS = tuple(
    Operation(*row)
    for row in (
        ("GET", "/applications", "list_applications", account.list_applications),
        ("GET", "/applications/{applicationId}", "get_application", account.get_application),
        ("GET", "/jobs", "list_jobs", jobs.list_jobs),
        ("POST", "/jobs", "create_job", jobs.create),
        ("DELETE", _JOB, "delete_job", jobs.delete),
        ("GET", _JOB, "get_job", jobs.get),
        ("PATCH", _JOB, "update_job", jobs.patch),
        ("PUT", _JOB, "replace_job", jobs.replace),
        ("POST", f"{_JOB}/addtaskcollection", "create_task_collection", tasks.create_collection),
        ("POST", f"{_JOB}/disable", "disable_job", jobs.disable),
        ("POST", f"{_JOB}/enable", "enable_job", jobs.enable),
        (
            "GET",
            f"{_JOB}/jobpreparationandreleasetaskstatus",
            "list_job_preparation_and_release_task_status",
            jobs.preparation_status,
        ),
        ("GET", f"{_JOB}/taskcounts", "get_job_task_counts", jobs.task_counts),
        ("GET", f"{_JOB}/tasks", "list_tasks", tasks.list_tasks),
        ("POST", f"{_JOB}/tasks", "create_task", tasks.create),
        ("DELETE", _TASK, "delete_task", tasks.delete),
        ("GET", _TASK, "get_task", tasks.get),
        ("PUT", _TASK, "replace_task", tasks.replace),
        ("GET", f"{_TASK}/files", "list_task_files", task_files.list_files),
        ("DELETE", f"{_TASK}/{_FILE}", "delete_task_file", task_files.delete),
        ("GET", f"{_TASK}/{_FILE}", "download_task_file", task_files.download),
        ("HEAD", f"{_TASK}/{_FILE}", "get_task_file_properties", task_files.properties),
        ("POST", f"{_TASK}/reactivate", "reactivate_task", tasks.reactivate),
        ("GET", f"{_TASK}/subtasksinfo", "list_subtasks", tasks.list_subtasks),
        ("POST", f"{_TASK}/terminate", "terminate_task", tasks.terminate),
        ("POST", f"{_JOB}/terminate", "terminate_job", jobs.terminate),
        ("GET", "/jobschedules", "list_job_schedules", job_schedules.list_schedules),
        ("POST", "/jobschedules", "create_job_schedule", job_schedules.create),
        ("DELETE", _SCHEDULE, "delete_job_schedule", job_schedules.delete),
        ("GET", _SCHEDULE, "get_job_schedule", job_schedules.get),
        ("HEAD", _SCHEDULE, "job_schedule_exists", job_schedules.exists),
        ("PATCH", _SCHEDULE, "update_job_schedule", job_schedules.patch),
        ("PUT", _SCHEDULE, "replace_job_schedule", job_schedules.replace),
        ("POST", f"{_SCHEDULE}/disable", "disable_job_schedule", job_schedules.disable),
        ("POST", f"{_SCHEDULE}/enable", "enable_job_schedule", job_schedules.enable),
        ("GET", f"{_SCHEDULE}/jobs", "list_jobs_from_schedule", job_schedules.list_jobs),
        ("POST", f"{_SCHEDULE}/terminate", "terminate_job_schedule", job_schedules.terminate),
        ("GET", "/nodecounts", "list_pool_node_counts", account.list_node_counts),
        ("GET", "/pools", "list_pools", pools.list_pools),
        ("POST", "/pools", "create_pool", pools.create),
        ("DELETE", _POOL, "delete_pool", pools.delete),
        ("GET", _POOL, "get_pool", pools.get),
        ("HEAD", _POOL, "pool_exists", pools.exists),
        ("PATCH", _POOL, "update_pool", pool_properties.patch),
        ("POST", f"{_POOL}/disableautoscale", "disable_pool_auto_scale", autoscale.disable),
        ("POST", f"{_POOL}/enableautoscale", "enable_pool_auto_scale", autoscale.enable),
        ("POST", f"{_POOL}/evaluateautoscale", "evaluate_pool_auto_scale", autoscale.evaluate),
        ("GET", f"{_POOL}/nodes", "list_nodes", nodes.list_nodes),
        ("GET", _NODE, "get_node", nodes.get),
        ("POST", f"{_NODE}/deallocate", "deallocate_node", node_operations.deallocate),
        ("POST", f"{_NODE}/disablescheduling", "disable_node_scheduling", node_operations.disable_scheduling),
        ("POST", f"{_NODE}/enablescheduling", "enable_node_scheduling", node_operations.enable_scheduling),
        ("GET", f"{_NODE}/extensions", "list_node_extensions", nodes.list_extensions),
        ("GET", f"{_NODE}/extensions/{{extensionName}}", "get_node_extension", nodes.get_extension),
        ("GET", f"{_NODE}/files", "list_node_files", node_files.list_files),
        ("DELETE", f"{_NODE}/{_FILE}", "delete_node_file", node_files.delete),
        ("GET", f"{_NODE}/{_FILE}", "download_node_file", node_files.download),
        ("HEAD", f"{_NODE}/{_FILE}", "get_node_file_properties", node_files.properties),
        ("POST", f"{_NODE}/reboot", "reboot_node", node_operations.reboot),
        ("POST", f"{_NODE}/reimage", "reimage_node", node_operations.reimage),
        (
            "GET",
            f"{_NODE}/remoteloginsettings",
            "get_node_remote_login_settings",
            nodes.remote_login_settings,
        ),
        ("POST", f"{_NODE}/start", "start_node", node_operations.start),
        ("POST", f"{_NODE}/uploadbatchservicelogs", "upload_node_logs", nodes.upload_logs),
        ("POST", f"{_NODE}/users", "create_node_user", node_users.create),
        ("DELETE", f"{_NODE}/users/{{userName}}", "delete_node_user", node_users.delete),
        ("PUT", f"{_NODE}/users/{{userName}}", "replace_node_user", node_users.replace),
        ("POST", f"{_POOL}/removenodes", "remove_nodes", pools.remove_nodes),
        ("POST", f"{_POOL}/resize", "resize_pool", pools.resize),
        ("POST", f"{_POOL}/stopresize", "stop_pool_resize", pools.stop_resize),
        ("POST", f"{_POOL}/updateproperties", "replace_pool_properties", pool_properties.replace_properties),
        ("GET", "/poolusagemetrics", "list_pool_usage_metrics", account.list_usage_metrics),
        ("GET", "/supportedimages", "list_supported_images", account.list_supported_images),
    )
)
