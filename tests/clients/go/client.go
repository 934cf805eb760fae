// The checks of tests/clients/run on grpc-go. Usage: client life|resume|unretried|retry ADDRESS FILE.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/ioutil"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	onrecord "onrecord/v1"
)

const (
	patience  = 20 * time.Second
	statement = "statements/fire"
	draftName = "statements/fire/drafts/en"
)

type client struct {
	editor onrecord.EditorialServiceClient
	reader onrecord.StatementServiceClient
	feed   onrecord.FeedServiceClient
	// Deadline of all calls.
	ctx context.Context
}

func dial(ctx context.Context, address string, options ...grpc.DialOption) client {
	channel, err := grpc.Dial(address, append(options, grpc.WithInsecure())...)
	must(err)
	return client{
		onrecord.NewEditorialServiceClient(channel), onrecord.NewStatementServiceClient(channel), onrecord.NewFeedServiceClient(channel), ctx,
	}
}

func say(words string) {
	fmt.Println("go:", words)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(holds bool, seen ...interface{}) {
	if !holds {
		panic(fmt.Sprint(seen...))
	}
}

func by(ctx context.Context, caller string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "onrecord-caller", caller)
}

// newID returns a UUID of version 4.
func newID() string {
	var id [16]byte
	_, err := rand.Read(id[:])
	must(err)
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// refused checks the code, reason and domain of an error. It returns ErrorInfo.metadata and the fields at fault.
func refused(err error, code codes.Code, reason string) (info map[string]string, fields []string) {
	found := false
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			found = status.Code(err) == code && detail.GetReason() == reason && detail.GetDomain() == "onrecord"
			info = detail.GetMetadata()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				fields = append(fields, violation.GetField())
			}
		}
	}
	check(found, "not refused with ", reason, ": ", err)
	return info, fields
}

func (c client) create() error {
	fire := &onrecord.Statement{Kind: "notice", SourceLanguageCode: "en"}
	request := &onrecord.CreateStatementRequest{StatementId: "fire", Statement: fire, RequestId: newID()}
	_, err := c.editor.CreateStatement(by(c.ctx, "anna"), request)
	return err
}

func (c client) save(etag string, content *onrecord.Content) (*onrecord.Draft, error) {
	content.Body = "In full."
	request := &onrecord.SaveDraftRequest{Draft: &onrecord.Draft{Name: draftName, Etag: etag, Content: content}, RequestId: newID()}
	response, err := c.editor.SaveDraft(by(c.ctx, "anna"), request)
	return response.GetDraft(), err
}

func (c client) publish(etag string) {
	submit := &onrecord.SubmitDraftRequest{Name: draftName, Etag: etag, RequestId: newID()}
	submitted, err := c.editor.SubmitDraft(by(c.ctx, "anna"), submit)
	must(err)
	approve := &onrecord.ApproveDraftRequest{Name: draftName, Etag: submitted.GetDraft().GetEtag(), RequestId: newID()}
	approved, err := c.editor.ApproveDraft(by(c.ctx, "bea"), approve)
	must(err)
	check(approved.GetDraft().GetState() == onrecord.Draft_STATE_APPROVED, approved)
	one := &onrecord.DraftToPublish{LanguageCode: "en", Etag: approved.GetDraft().GetEtag()}
	request := &onrecord.PublishDraftsRequest{Parent: statement, Drafts: []*onrecord.DraftToPublish{one}, RequestId: newID()}
	published, err := c.editor.PublishDrafts(by(c.ctx, "chris"), request)
	must(err)
	check(published.GetLive()[0].GetState() == onrecord.Live_STATE_PUBLISHED, published)
}

func (c client) withdraw() {
	notice := &onrecord.Notice{Text: "It is no longer true."}
	request := &onrecord.WithdrawStatementRequest{Name: statement, Notice: notice, RequestId: newID()}
	withdrawn, err := c.editor.WithdrawStatement(by(c.ctx, "chris"), request)
	must(err)
	check(withdrawn.GetLive()[0].GetState() == onrecord.Live_STATE_WITHDRAWN, withdrawn)
}

func (c client) subscribe(ctx context.Context, start onrecord.Start, cursor string) onrecord.FeedService_SubscribeClient {
	stream, err := c.feed.Subscribe(by(ctx, "site"), &onrecord.SubscribeRequest{Start: start, Cursor: cursor})
	must(err)
	return stream
}

func next(stream onrecord.FeedService_SubscribeClient) *onrecord.SubscribeResponse {
	message, err := stream.Recv()
	must(err)
	return message
}

// expect reads the next events, which must be of these types, from this sequence on. It returns the cursor after them.
func expect(stream onrecord.FeedService_SubscribeClient, sequence uint64, kinds ...onrecord.Event_Type) (cursor string) {
	for seen := 0; seen < len(kinds); {
		batch := next(stream).GetEventBatch()
		for _, delivery := range batch.GetDeliveries() {
			event := delivery.GetEvent()
			check(seen < len(kinds) && event.GetSequence() == sequence+uint64(seen) && event.GetType() == kinds[seen], event)
			seen++
		}
		cursor = batch.GetCursor()
	}
	return cursor
}

func (c client) life(path string) {
	say("grpc-go " + grpc.Version)
	must(c.create())
	refused(c.create(), codes.AlreadyExists, "STATEMENT_EXISTS")
	ctx, leave := context.WithCancel(c.ctx)
	stream := c.subscribe(ctx, onrecord.Start_START_SNAPSHOT, "")
	check(next(stream).GetOpened() != nil, "the first message is not `opened`")
	end := next(stream).GetSnapshotEnd()
	check(end != nil && end.GetItemCount() == 0, end)

	first, err := c.save("", &onrecord.Content{Title: "Fire"})
	must(err)
	draft, err := c.save(first.GetEtag(), &onrecord.Content{Title: "One fire"})
	must(err)
	_, err = c.save(first.GetEtag(), &onrecord.Content{Title: "No fire"})
	stale, _ := refused(err, codes.Aborted, "ETAG_MISMATCH")
	check(stale["etag"] == draft.GetEtag() && stale["revision"] == fmt.Sprint(draft.GetRevision()), stale)
	_, err = c.save(draft.GetEtag(), &onrecord.Content{Title: "Fire", Urgency: 10})
	_, fields := refused(err, codes.InvalidArgument, "INVALID_ARGUMENT")
	check(len(fields) == 1 && fields[0] == "draft.content.urgency", fields)
	say("STATEMENT_EXISTS; ETAG_MISMATCH with the revision; INVALID_ARGUMENT with the field")

	c.publish(draft.GetEtag())
	cursor := expect(stream, 1, onrecord.Event_TYPE_PUBLISHED)
	correction := &onrecord.Correction{Text: "It was two."}
	corrected := &onrecord.Content{Title: "Two fires", ChangeKind: onrecord.ChangeKind_CHANGE_KIND_CORRECTION, Correction: correction}
	draft, err = c.save("", corrected)
	must(err)
	c.publish(draft.GetEtag())
	expect(stream, 2, onrecord.Event_TYPE_CORRECTED)
	c.withdraw()
	expect(stream, 3, onrecord.Event_TYPE_WITHDRAWN)
	leave()
	read, err := c.reader.GetStatement(by(c.ctx, "site"), &onrecord.GetStatementRequest{Name: statement})
	must(err)
	check(read.GetStatement().GetLive().GetEdition().GetContent().GetTitle() == "Two fires", read)
	say("created, saved, submitted, approved by another caller, published, corrected, withdrawn")
	say("followed from SNAPSHOT: PUBLISHED, CORRECTED, WITHDRAWN")
	must(ioutil.WriteFile(path, []byte(cursor), 0o600))

	c.deadline()
	c.sizes()
}

func (c client) deadline() {
	ctx, cancel := context.WithTimeout(c.ctx, 500*time.Millisecond)
	defer cancel()
	stream, err := c.subscribe(ctx, onrecord.Start_START_NOW, ""), error(nil)
	for err == nil {
		_, err = stream.Recv()
	}
	check(status.Code(err) == codes.DeadlineExceeded && c.ctx.Err() == nil, err)
	say("a deadline of 500 ms ends a stream with DEADLINE_EXCEEDED")
}

func (c client) sizes() {
	names := strings.Split(strings.Repeat(statement+" ", 99)+statement, " ")
	batch := &onrecord.BatchGetStatementsRequest{Names: names}
	read, err := c.reader.BatchGetStatements(by(c.ctx, "site"), batch, grpc.UseCompressor(gzip.Name))
	must(err)
	check(len(read.GetStatements()) == 100, read)
	long := &onrecord.ListStatementsRequest{PageToken: strings.Repeat("x", 5<<20)}
	for _, way := range []struct {
		options []grpc.CallOption
		words   string
	}{{[]grpc.CallOption{grpc.UseCompressor(gzip.Name)}, "decompressed"}, {nil, "5242885"}} {
		trailer := metadata.MD{}
		_, err := c.reader.ListStatements(by(c.ctx, "site"), long, append(way.options, grpc.Trailer(&trailer))...)
		limit, _ := refused(err, codes.ResourceExhausted, "MESSAGE_TOO_LONG")
		check(limit["limit"] == "MESSAGE_BYTES" && limit["most"] == "262144" && strings.Contains(err.Error(), way.words), err)
		check(strings.Join(trailer.Get("grpc-retry-pushback-ms"), " ") == "-1", trailer)
	}
	say("a gzip request is read; MESSAGE_TOO_LONG, compressed and not, with the limit and the pushback -1")
}

func (c client) resume(path string) {
	cursor, err := ioutil.ReadFile(path)
	must(err)
	stream := c.subscribe(c.ctx, onrecord.Start_START_CURSOR, string(cursor))
	check(next(stream).GetOpened().GetResumed(), "not resumed")
	expect(stream, 2, onrecord.Event_TYPE_CORRECTED, onrecord.Event_TYPE_WITHDRAWN)
	say("resumed by cursor after a restart: CORRECTED, WITHDRAWN")
}

// holdStream opens the only stream that the service allows. It returns a function that ends it, and a client with a service config.
func (c client) holdStream(address, path string) (leave context.CancelFunc, retrying client) {
	config, err := ioutil.ReadFile(path)
	must(err)
	ctx, leave := context.WithCancel(c.ctx)
	check(next(c.subscribe(ctx, onrecord.Start_START_NOW, "")).GetOpened() != nil, "the first message is not `opened`")
	return leave, dial(c.ctx, address, grpc.WithDefaultServiceConfig(string(config)))
}

// unretried shows that a version before 1.40 ignores retry policies, unless the environment has GRPC_GO_RETRY=on.
func (c client) unretried(address, path string) {
	leave, retrying := c.holdStream(address, path)
	defer leave()
	_, err := retrying.subscribe(c.ctx, onrecord.Start_START_NOW, "").Recv()
	refused(err, codes.ResourceExhausted, "TOO_MANY_STREAMS")
	say("TOO_MANY_STREAMS was not retried without GRPC_GO_RETRY=on")
}

func (c client) retry(address, path string) {
	leave, retrying := c.holdStream(address, path)
	second := c.subscribe(c.ctx, onrecord.Start_START_NOW, "")
	_, err := second.Recv()
	refused(err, codes.ResourceExhausted, "TOO_MANY_STREAMS")
	pushback, err := strconv.Atoi(strings.Join(second.Trailer().Get("grpc-retry-pushback-ms"), " "))
	check(err == nil && 1000 <= pushback && pushback <= 2000, second.Trailer())
	started := time.Now()
	time.AfterFunc(500*time.Millisecond, leave)
	check(next(retrying.subscribe(c.ctx, onrecord.Start_START_NOW, "")).GetOpened() != nil, "the first message is not `opened`")
	check(time.Since(started) >= time.Second, "retried before the pushback")
	say("TOO_MANY_STREAMS was retried after the pushback")
	batch := &onrecord.BatchGetStatementsRequest{Names: make([]string, 20_000)}
	_, err = retrying.reader.BatchGetStatements(by(c.ctx, "site"), batch)
	refused(err, codes.ResourceExhausted, "MESSAGE_TOO_LONG")
	say("MESSAGE_TOO_LONG was refused with a service config that retries RESOURCE_EXHAUSTED")
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	phase, address, path := os.Args[1], os.Args[2], os.Args[3]
	c := dial(ctx, address)
	switch phase {
	case "life":
		c.life(path)
	case "resume":
		c.resume(path)
	case "unretried":
		c.unretried(address, path)
	case "retry":
		c.retry(address, path)
	}
}
