"""An executor for tests, with Slurm's settings for job arrays: it prints what jobs ask for, and ends the run."""

import json
from dataclasses import dataclass, field
from typing import Optional

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import AbstractExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

common_settings = CommonSettings(non_local_exec=True, implies_no_shared_fs=False, job_deploy_sources=False)
ASKED = ("mem_mb", "runtime", "gpu")


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    array_jobs: Optional[str] = field(default=None, metadata={"help": "rules whose jobs are sent as arrays"})  # noqa: UP045
    array_limit: int = field(default=1000, metadata={"help": "jobs of an array at most"})


class Executor(AbstractExecutor):
    def run_jobs(self, jobs):
        print(json.dumps([[job.rule.name, *map(job.resources.get, ASKED)] for job in self.dag.jobs]))
        raise WorkflowError("listed")

    def cancel(self):
        pass

    def nothing_else(self, *_):
        raise NotImplementedError

    run_job = get_exec_mode = shutdown = handle_job_success = handle_job_error = nothing_else
