import com.google.gson.Gson;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.internal.GrpcUtil;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.MetadataUtils;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import onrecord.v1.*;

/** The checks of tests/clients/run on grpc-java. Usage: Client life|resume|retry ADDRESS FILE. */
public final class Client {
    private static final long PATIENCE = 20_000; // milliseconds
    private static final String STATEMENT = "statements/fire";
    private static final String DRAFT = "statements/fire/drafts/en";
    private static final Metadata.Key<String> CALLER = Metadata.Key.of("onrecord-caller", Metadata.ASCII_STRING_MARSHALLER);
    private static final Metadata.Key<String> PUSHBACK = Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

    /** What a refusal says. */
    private record Refusal(Map<String, String> metadata, List<String> fields, String message, String pushback) {}

    private final EditorialServiceGrpc.EditorialServiceBlockingStub editor;
    private final StatementServiceGrpc.StatementServiceBlockingStub reader;
    private final FeedServiceGrpc.FeedServiceBlockingStub feed;

    private Client(ManagedChannelBuilder<?> builder) {
        var channel = builder.usePlaintext().build();
        editor = EditorialServiceGrpc.newBlockingStub(channel);
        reader = StatementServiceGrpc.newBlockingStub(channel);
        feed = FeedServiceGrpc.newBlockingStub(channel);
    }

    private static <S extends AbstractStub<S>> S by(S stub, String caller) {
        return by(stub, caller, PATIENCE);
    }

    private static <S extends AbstractStub<S>> S by(S stub, String caller, long milliseconds) {
        var metadata = new Metadata();
        metadata.put(CALLER, caller);
        return stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(metadata)).withDeadlineAfter(milliseconds, TimeUnit.MILLISECONDS);
    }

    private static void say(String words) {
        System.out.println("java: " + words);
    }

    private static void check(boolean holds, Object seen) {
        if (!holds) {
            throw new AssertionError(seen);
        }
    }

    private static String newId() {
        return UUID.randomUUID().toString();
    }

    private static Refusal refused(Code code, String reason, Runnable attempt) throws InvalidProtocolBufferException {
        try {
            attempt.run();
        } catch (StatusRuntimeException error) {
            check(error.getStatus().getCode() == code, error);
            var info = ErrorInfo.getDefaultInstance();
            var bad = BadRequest.getDefaultInstance();
            for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
                info = detail.is(ErrorInfo.class) ? detail.unpack(ErrorInfo.class) : info;
                bad = detail.is(BadRequest.class) ? detail.unpack(BadRequest.class) : bad;
            }
            check(info.getReason().equals(reason) && info.getDomain().equals("onrecord"), info);
            var fields = bad.getFieldViolationsList().stream().map(BadRequest.FieldViolation::getField).toList();
            return new Refusal(info.getMetadataMap(), fields, error.getStatus().getDescription(), error.getTrailers().get(PUSHBACK));
        }
        throw new AssertionError("not refused: " + reason);
    }

    private void create() {
        var statement = Statement.newBuilder().setKind("notice").setSourceLanguageCode("en");
        var request = CreateStatementRequest.newBuilder().setStatementId("fire").setStatement(statement).setRequestId(newId());
        by(editor, "anna").createStatement(request.build());
    }

    private Draft save(String etag, Content.Builder content) {
        var draft = Draft.newBuilder().setName(DRAFT).setEtag(etag).setContent(content.setBody("In full."));
        return by(editor, "anna").saveDraft(SaveDraftRequest.newBuilder().setDraft(draft).setRequestId(newId()).build()).getDraft();
    }

    private void publish(String etag) {
        var submit = SubmitDraftRequest.newBuilder().setName(DRAFT).setEtag(etag).setRequestId(newId());
        var submitted = by(editor, "anna").submitDraft(submit.build()).getDraft();
        var approve = ApproveDraftRequest.newBuilder().setName(DRAFT).setEtag(submitted.getEtag()).setRequestId(newId());
        var approved = by(editor, "bea").approveDraft(approve.build()).getDraft();
        check(approved.getState() == Draft.State.STATE_APPROVED, approved);
        var one = DraftToPublish.newBuilder().setLanguageCode("en").setEtag(approved.getEtag());
        var request = PublishDraftsRequest.newBuilder().setParent(STATEMENT).addDrafts(one).setRequestId(newId());
        var published = by(editor, "chris").publishDrafts(request.build());
        check(published.getLive(0).getState() == Live.State.STATE_PUBLISHED, published);
    }

    private void withdraw() {
        var notice = Notice.newBuilder().setText("It is no longer true.");
        var request = WithdrawStatementRequest.newBuilder().setName(STATEMENT).setNotice(notice).setRequestId(newId());
        var withdrawn = by(editor, "chris").withdrawStatement(request.build());
        check(withdrawn.getLive(0).getState() == Live.State.STATE_WITHDRAWN, withdrawn);
    }

    private Iterator<SubscribeResponse> subscribe(Start start, String cursor, long milliseconds) {
        return by(feed, "site", milliseconds).subscribe(SubscribeRequest.newBuilder().setStart(start).setCursor(cursor).build());
    }

    /** Reads the next events, which must be of these types, from this sequence on. Returns the cursor after them. */
    private static String expect(Iterator<SubscribeResponse> stream, long sequence, Event.Type... types) {
        var events = new ArrayList<Event>();
        var cursor = "";
        while (events.size() < types.length) {
            var batch = stream.next().getEventBatch();
            batch.getDeliveriesList().forEach(delivery -> events.add(delivery.getEvent()));
            cursor = batch.getCursor();
        }
        check(events.stream().map(Event::getType).toList().equals(List.of(types)), events);
        for (int at = 0; at < types.length; at++) {
            check(events.get(at).getSequence() == sequence + at, events);
        }
        return cursor;
    }

    private void life(Path path) throws Exception {
        say("grpc-java " + GrpcUtil.getGrpcBuildVersion().getImplementationVersion() + ", Java " + Runtime.version().feature());
        create();
        refused(Code.ALREADY_EXISTS, "STATEMENT_EXISTS", this::create);
        var leaving = Context.current().withCancellation();
        var stream = leaving.call(() -> subscribe(Start.START_SNAPSHOT, "", PATIENCE));
        check(stream.next().hasOpened(), "the first message is not `opened`");
        var end = stream.next();
        check(end.hasSnapshotEnd() && end.getSnapshotEnd().getItemCount() == 0, end);

        var first = save("", Content.newBuilder().setTitle("Fire"));
        var draft = save(first.getEtag(), Content.newBuilder().setTitle("One fire"));
        var late = Content.newBuilder().setTitle("No fire");
        var stale = refused(Code.ABORTED, "ETAG_MISMATCH", () -> save(first.getEtag(), late)).metadata();
        check(stale.get("etag").equals(draft.getEtag()) && stale.get("revision").equals("" + draft.getRevision()), stale);
        var wrong = Content.newBuilder().setTitle("Fire").setUrgency(10);
        var fields = refused(Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", () -> save(draft.getEtag(), wrong)).fields();
        check(fields.equals(List.of("draft.content.urgency")), fields);
        say("STATEMENT_EXISTS; ETAG_MISMATCH with the revision; INVALID_ARGUMENT with the field");

        publish(draft.getEtag());
        Files.writeString(path, expect(stream, 1, Event.Type.TYPE_PUBLISHED));
        var corrected = Content.newBuilder().setTitle("Two fires").setChangeKind(ChangeKind.CHANGE_KIND_CORRECTION);
        publish(save("", corrected.setCorrection(Correction.newBuilder().setText("It was two."))).getEtag());
        expect(stream, 2, Event.Type.TYPE_CORRECTED);
        withdraw();
        expect(stream, 3, Event.Type.TYPE_WITHDRAWN);
        leaving.cancel(null);
        var read = by(reader, "site").getStatement(GetStatementRequest.newBuilder().setName(STATEMENT).build()).getStatement();
        check(read.getLive().getEdition().getContent().getTitle().equals("Two fires"), read);
        say("created, saved, submitted, approved by another caller, published, corrected, withdrawn");
        say("followed from SNAPSHOT: PUBLISHED, CORRECTED, WITHDRAWN");

        deadline();
        sizes();
    }

    private void deadline() {
        var patience = Deadline.after(PATIENCE / 2, TimeUnit.MILLISECONDS);
        try {
            subscribe(Start.START_NOW, "", 500).forEachRemaining(message -> {});
            throw new AssertionError("the stream ended without an error");
        } catch (StatusRuntimeException error) {
            check(error.getStatus().getCode() == Code.DEADLINE_EXCEEDED && !patience.isExpired(), error);
        }
        say("a deadline of 500 ms ends a stream with DEADLINE_EXCEEDED");
    }

    private void sizes() throws InvalidProtocolBufferException {
        var batch = BatchGetStatementsRequest.newBuilder().addAllNames(Collections.nCopies(100, STATEMENT)).build();
        var zipping = by(reader, "site").withCompression("gzip");
        check(zipping.batchGetStatements(batch).getStatementsCount() == 100, "statements are missing");
        var request = ListStatementsRequest.newBuilder().setPageToken("x".repeat(5 << 20)).build();
        for (var way : Map.of(zipping, "decompressed", by(reader, "site"), "5242885").entrySet()) {
            var refusal = refused(Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LONG", () -> way.getKey().listStatements(request));
            check(refusal.metadata().equals(Map.of("limit", "MESSAGE_BYTES", "most", "262144")), refusal);
            check(refusal.message().contains(way.getValue()) && refusal.pushback().equals("-1"), refusal);
        }
        say("a gzip request is read; MESSAGE_TOO_LONG, compressed and not, with the limit and the pushback -1");
    }

    private void resume(Path path) throws Exception {
        var stream = subscribe(Start.START_CURSOR, Files.readString(path), PATIENCE);
        check(stream.next().getOpened().getResumed(), "not resumed");
        expect(stream, 2, Event.Type.TYPE_CORRECTED, Event.Type.TYPE_WITHDRAWN);
        say("resumed by cursor after a restart: CORRECTED, WITHDRAWN");
    }

    private void retry(Client retrying) throws Exception {
        var leaving = Context.current().withCancellation();
        check(leaving.call(() -> subscribe(Start.START_NOW, "", PATIENCE)).next().hasOpened(), "the first message is not `opened`");
        var refusal = refused(Code.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS", () -> subscribe(Start.START_NOW, "", PATIENCE).next());
        var pushback = Integer.parseInt(refusal.pushback());
        check(1000 <= pushback && pushback <= 2000, refusal);
        var started = System.nanoTime();
        CompletableFuture.delayedExecutor(500, TimeUnit.MILLISECONDS).execute(() -> leaving.cancel(null));
        check(retrying.subscribe(Start.START_NOW, "", PATIENCE).next().hasOpened(), "the first message is not `opened`");
        check(System.nanoTime() - started >= TimeUnit.SECONDS.toNanos(1), "retried before the pushback");
        say("TOO_MANY_STREAMS was retried after the pushback");
        var batch = BatchGetStatementsRequest.newBuilder().addAllNames(Collections.nCopies(20_000, "")).build();
        refused(Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LONG", () -> by(retrying.reader, "site").batchGetStatements(batch));
        say("MESSAGE_TOO_LONG was refused with a service config that retries RESOURCE_EXHAUSTED");
    }

    public static void main(String[] arguments) throws Exception {
        var address = arguments[1];
        var path = Path.of(arguments[2]);
        var client = new Client(ManagedChannelBuilder.forTarget(address));
        switch (arguments[0]) {
            case "life" -> client.life(path);
            case "resume" -> client.resume(path);
            case "retry" -> {
                @SuppressWarnings("unchecked")
                Map<String, ?> config = new Gson().fromJson(Files.readString(path), Map.class);
                client.retry(new Client(ManagedChannelBuilder.forTarget(address).defaultServiceConfig(config)));
            }
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        System.exit(0); // leaves open streams
    }
}
