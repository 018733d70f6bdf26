"""An orchestrator in Python that adds a run to the queue by itself, over Redis, and waits for its result.

pip install bullmq
python3 submit_redis.py redis://127.0.0.1:6379 stepvault-us PROJECT_ID
"""

import asyncio
import json
import sys
import uuid

from bullmq import Job, Queue


async def main(redis_url: str, queue_name: str, project_id: str) -> None:
    queue = Queue(queue_name, {"connection": redis_url})
    try:
        run_id = str(uuid.uuid4())
        payload = {
            "projectId": project_id,
            "runId": run_id,
            "step": {
                "language": "python",
                "code": 'print("looking up", params["city"])\nreturn {"city": params["city"]}',
                "limits": {"wallTimeMsMax": 10_000},
                "network": ["api.example.com"],
            },
            "params": {"city": "Bern"},
            "labels": {"agentId": "agent-7"},
        }
        # The run id as the job id: adding the same run twice adds it once.
        options = {"jobId": run_id, "removeOnComplete": {"age": 3600}, "removeOnFail": {"age": 3600}}
        await queue.add("step", payload, options)
        async with asyncio.timeout(60):
            while await queue.getJobState(run_id) not in ("completed", "failed"):
                await asyncio.sleep(0.2)
        job = await Job.fromId(queue, run_id)
        if job.failedReason:
            raise RuntimeError(job.failedReason)
        print(json.dumps(job.returnvalue))
    finally:
        await queue.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
