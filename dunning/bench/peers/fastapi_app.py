"""What one writes in an afternoon: FastAPI, `construct_event`, one insert a request."""

import os

import psycopg_pool
import stripe
from fastapi import FastAPI, HTTPException, Request
from starlette.concurrency import run_in_threadpool

SECRET = os.environ["BENCH_SECRET"]
pool = psycopg_pool.ConnectionPool(
    f"host=127.0.0.1 port={os.environ['BENCH_PG_PORT']} user=dunning dbname=fastapi",
    min_size=16,
    max_size=40,
    open=True,
)
with pool.connection() as made:
    made.execute("CREATE TABLE IF NOT EXISTS events (id text PRIMARY KEY, type text, body bytea)")
app = FastAPI()


def keep(event, body):
    """Once per event; durable when it returns."""
    with pool.connection() as connection:
        connection.execute(
            "INSERT INTO events VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (event["id"], event["type"], body),
        )


@app.post("/webhooks/stripe")
async def receive(request: Request):
    """Verify, keep, answer."""
    body = await request.body()
    try:
        event = stripe.Webhook.construct_event(body, request.headers["stripe-signature"], SECRET)
    except (ValueError, stripe.SignatureVerificationError) as error:
        raise HTTPException(400) from error
    await run_in_threadpool(keep, event, body)
    return {"ok": True}
