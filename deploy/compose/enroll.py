"""Gives a site the name under which it follows, unless it has it: enroll.py ADDRESS NAME, with the files that site.py is given.

`onrecord subscription create NAME` does the same by hand; this one is content if it was done before.
"""

import os
import sys
from pathlib import Path

import grpc
from onrecord.v1 import feed_service_pb2 as feed, feed_service_pb2_grpc, subscription_pb2

address, name = sys.argv[1:]
ca, token = (Path(os.environ[f"ONRECORD_{what}_FILE"]).read_bytes() for what in ("CA", "TOKEN"))
stub = feed_service_pb2_grpc.FeedServiceStub(grpc.secure_channel(address, grpc.ssl_channel_credentials(ca)))
request = feed.CreateSubscriptionRequest(subscription_id=name, subscription=subscription_pb2.Subscription())
try:
    # The service may not be there yet.
    stub.CreateSubscription(request, metadata=[("authorization", f"Bearer {token.decode()}")], timeout=60, wait_for_ready=True)
    print(f"{name}: created")
except grpc.RpcError as error:
    if error.code() != grpc.StatusCode.ALREADY_EXISTS:
        raise SystemExit(f"{error.code()}: {error.details()}") from error
    print(f"{name}: was there")
