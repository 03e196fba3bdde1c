"""Batch inference over shards, one of them broken: the report is made from what came through.

`trigger_rule="all_done"` lets the reducer run although a shard failed. Its list still has one slot per shard, in
order: a failed shard is `None`, so the report knows exactly which ones are missing.
"""

from airflow.sdk import dag, task

SHARDS = {
    "2026-01": ["great product", "never again", "works as described"],
    "2026-02": ["love it", "arrived broken", "great value, love the colour"],
    "2026-03": ["\x1f\x8b corrupted download"],
    "2026-04": ["broken after a week", "works great"],
}
POSITIVE = {"great", "love", "works"}
NEGATIVE = {"never", "broken"}


@dag(description="Score reviews shard by shard; survive a bad shard", tags=["example", "ml", "tolerant-reduce"])
def batch_inference():
    @task
    def predict(shard: str) -> dict:
        """Score one shard of reviews."""
        reviews = SHARDS[shard]
        if any(not review.isprintable() for review in reviews):
            raise ValueError(f"shard {shard} is not text")
        scores = [len(POSITIVE & words) - len(NEGATIVE & words) for words in (set(r.split()) for r in reviews)]
        return {"shard": shard, "reviews": len(reviews), "positive": sum(score > 0 for score in scores)}

    @task(trigger_rule="all_done")
    def report(results: list[dict | None]) -> dict:
        """Total what is there and name what is not."""
        missing = [shard for shard, result in zip(SHARDS, results, strict=True) if result is None]
        done = [result for result in results if result is not None]
        summary = {
            "reviews": sum(result["reviews"] for result in done),
            "positive": sum(result["positive"] for result in done),
            "missing_shards": missing,
        }
        print(f"{summary['positive']} of {summary['reviews']} reviews are positive; missing: {missing or 'nothing'}")
        return summary

    report([predict(shard) for shard in SHARDS])


batch_inference()
