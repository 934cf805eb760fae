// Calls onrecord from a web page by gRPC-Web, and reports the results to the server of the page.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import type { Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorInfoSchema } from "./generated/google/rpc/error_details_pb";
import { ErrorReason } from "./generated/onrecord/v1/error_reason_pb";
import { Event_Type } from "./generated/onrecord/v1/event_pb";
import { FeedService, Start } from "./generated/onrecord/v1/feed_service_pb";
import { InfoService } from "./generated/onrecord/v1/info_service_pb";
import { StatementService } from "./generated/onrecord/v1/statement_service_pb";

const [baseUrl, token] = decodeURIComponent(location.hash.slice(1)).split(" ");
const authorize: Interceptor = (next) => (request) => {
  request.header.set("authorization", `Bearer ${token}`);
  return next(request);
};
const transport = createGrpcWebTransport({ baseUrl, interceptors: [authorize] });

async function report(name: string, run: () => Promise<unknown>) {
  let result: unknown;
  try {
    result = await run();
  } catch (error) {
    result = `${error}`;
  }
  await fetch("/report", { method: "POST", body: JSON.stringify([name, result]) });
}

await report("caller", async () => (await createClient(InfoService, transport).whoAmI({})).caller);

const statements = createClient(StatementService, transport);
await report("title", async () => {
  const response = await statements.getStatement({ name: "statements/fire" });
  return response.statement?.live?.edition?.content?.title;
});
await report("error", async () => {
  try {
    await statements.getStatement({ name: "statements/nothing" });
  } catch (error) {
    const refused = ConnectError.from(error);
    const [info] = refused.findDetails(ErrorInfoSchema);
    const known = info.reason === ErrorReason[ErrorReason.STATEMENT_NOT_FOUND];
    return [Code[refused.code], info.reason, info.domain, known];
  }
});
await report("deadline", async () => {
  try {
    for await (const _ of createClient(FeedService, transport).subscribe({ start: Start.NOW }, { timeoutMs: 500 }));
  } catch (error) {
    return Code[ConnectError.from(error).code];
  }
});

// Follows the feed; resumes by the newest cursor after any end.
let cursor = "";
for (let ended = false; !ended; ) {
  const start = cursor ? Start.CURSOR : Start.BEGINNING;
  try {
    for await (const { message } of createClient(FeedService, transport).subscribe({ start, cursor })) {
      if (message.case === "eventBatch") {
        for (const { event } of message.value.deliveries) {
          await report("event", async () => [Number(event!.sequence), Event_Type[event!.type], event!.statement]);
          ended ||= event!.statement === "statements/last";
        }
        cursor = message.value.cursor || cursor;
      }
      if (ended) break;
    }
  } catch (error) {
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
await report("end", async () => true);
