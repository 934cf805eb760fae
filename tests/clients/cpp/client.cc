// The checks of tests/clients/run on gRPC C++. Usage: client life|resume|retry ADDRESS FILE.
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "onrecord/v1/editorial_service.grpc.pb.h"
#include "onrecord/v1/feed_service.grpc.pb.h"
#include "onrecord/v1/statement_service.grpc.pb.h"

namespace {

using namespace onrecord::v1;
using namespace std::chrono_literals;
using std::string;

constexpr auto kPatience = 20s;
const string kStatement = "statements/fire";
const string kDraft = "statements/fire/drafts/en";

void Say(const string& words) { std::cout << "cpp: " << words << std::endl; }

void Check(bool holds, const string& seen) {
  if (holds) return;
  std::cerr << "failed: " << seen << std::endl;
  std::exit(1);
}

void Check(const grpc::Status& status) { Check(status.ok(), status.error_message()); }

string NewId() {
  std::random_device random;
  const auto bits = [&random](unsigned bits) { return random() & ((1u << bits) - 1); };
  char id[37];
  std::snprintf(id, sizeof id, "%08x-%04x-4%03x-8%03x-%08x%04x", random(), bits(16), bits(12), bits(12), random(), bits(16));
  return id;
}

string Read(const string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A call of a caller, with a deadline.
struct Call : grpc::ClientContext {
  explicit Call(const string& caller, std::chrono::milliseconds timeout = kPatience) {
    AddMetadata("onrecord-caller", caller);
    set_deadline(std::chrono::system_clock::now() + timeout);
  }
  string Pushback() const {
    const auto found = GetServerTrailingMetadata().find("grpc-retry-pushback-ms");
    return found == GetServerTrailingMetadata().end() ? "" : string(found->second.data(), found->second.size());
  }
};

// Details of a refusal with this code and reason.
struct Refusal {
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad;

  Refusal(const grpc::Status& status, grpc::StatusCode code, const string& reason) {
    google::rpc::Status rich;
    Check(status.error_code() == code && rich.ParseFromString(status.error_details()), reason + ", not " + status.error_message());
    for (const auto& detail : rich.details()) detail.UnpackTo(&info) || detail.UnpackTo(&bad);
    Check(info.reason() == reason && info.domain() == "onrecord", info.ShortDebugString());
  }
};

// A stream of the feed.
struct Stream {
  Call call;
  std::unique_ptr<grpc::ClientReader<SubscribeResponse>> reader;

  Stream(FeedService::Stub& feed, Start start, const string& cursor = "", std::chrono::milliseconds timeout = kPatience)
      : call("site", timeout) {
    SubscribeRequest request;
    request.set_start(start);
    request.set_cursor(cursor);
    reader = feed.Subscribe(&call, request);
  }

  ~Stream() { call.TryCancel(); }

  SubscribeResponse Next() {
    SubscribeResponse message;
    Check(reader->Read(&message), "the stream ended");
    return message;
  }

  grpc::Status End() {
    SubscribeResponse message;
    while (reader->Read(&message)) {
    }
    return reader->Finish();
  }

  // Reads the next events, which must be of these types, from this sequence on. Returns the cursor after them.
  string Expect(uint64_t sequence, const std::vector<Event::Type>& types) {
    string cursor;
    for (size_t seen = 0; seen < types.size();) {
      const auto message = Next();
      for (const auto& delivery : message.event_batch().deliveries()) {
        const auto& event = delivery.event();
        Check(seen < types.size() && event.type() == types[seen] && event.sequence() == sequence + seen, event.ShortDebugString());
        seen++;
      }
      cursor = message.event_batch().cursor();
    }
    return cursor;
  }
};

class Client {
 public:
  explicit Client(const string& address, const grpc::ChannelArguments& options = {})
      : Client(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), options)) {}

  void Life(const string& path) {
    Say("gRPC C++ " + grpc::Version());
    Check(Create());
    Refusal(Create(), grpc::ALREADY_EXISTS, "STATEMENT_EXISTS");
    string cursor;
    {
      Stream stream(*feed_, START_SNAPSHOT);
      Check(stream.Next().has_opened(), "the first message is not `opened`");
      const auto end = stream.Next();
      Check(end.has_snapshot_end() && end.snapshot_end().item_count() == 0, end.ShortDebugString());
      const auto draft = Refusals();
      Publish(draft.etag());
      cursor = stream.Expect(1, {Event::TYPE_PUBLISHED});
      Correct();
      stream.Expect(2, {Event::TYPE_CORRECTED});
      Withdraw();
      stream.Expect(3, {Event::TYPE_WITHDRAWN});
    }
    Call call("site");
    GetStatementRequest request;
    request.set_name(kStatement);
    GetStatementResponse read;
    Check(reader_->GetStatement(&call, request, &read));
    Check(read.statement().live().edition().content().title() == "Two fires", read.ShortDebugString());
    Say("created, saved, submitted, approved by another caller, published, corrected, withdrawn");
    Say("followed from SNAPSHOT: PUBLISHED, CORRECTED, WITHDRAWN");
    std::ofstream(path) << cursor;
    Deadline();
    Sizes();
  }

  void Resume(const string& path) {
    Stream stream(*feed_, START_CURSOR, Read(path));
    Check(stream.Next().opened().resumed(), "not resumed");
    stream.Expect(2, {Event::TYPE_CORRECTED, Event::TYPE_WITHDRAWN});
    Say("resumed by cursor after a restart: CORRECTED, WITHDRAWN");
  }

  void Retry(Client& retrying) {
    Stream first(*feed_, START_NOW);
    Check(first.Next().has_opened(), "the first message is not `opened`");
    Stream second(*feed_, START_NOW);
    Refusal(second.End(), grpc::RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS");
    const int pushback = std::stoi(second.call.Pushback());
    Check(1000 <= pushback && pushback <= 2000, second.call.Pushback());
    const auto started = std::chrono::steady_clock::now();
    std::thread leaving([&first] {
      std::this_thread::sleep_for(500ms);
      first.call.TryCancel();
    });
    Check(Stream(*retrying.feed_, START_NOW).Next().has_opened(), "the first message is not `opened`");
    Check(std::chrono::steady_clock::now() - started >= 1s, "retried before the pushback");
    leaving.join();
    Say("TOO_MANY_STREAMS was retried after the pushback");
    BatchGetStatementsRequest request;
    for (int field = 0; field < 20'000; field++) request.add_names();
    Call call("site");
    BatchGetStatementsResponse response;
    Refusal(retrying.reader_->BatchGetStatements(&call, request, &response), grpc::RESOURCE_EXHAUSTED, "MESSAGE_TOO_LONG");
    Say("MESSAGE_TOO_LONG was refused with a service config that retries RESOURCE_EXHAUSTED");
  }

 private:
  explicit Client(std::shared_ptr<grpc::Channel> channel)
      : editor_(EditorialService::NewStub(channel)), reader_(StatementService::NewStub(channel)), feed_(FeedService::NewStub(channel)) {}

  grpc::Status Create() {
    CreateStatementRequest request;
    request.set_statement_id("fire");
    request.set_request_id(NewId());
    request.mutable_statement()->set_kind("notice");
    request.mutable_statement()->set_source_language_code("en");
    Call call("anna");
    CreateStatementResponse response;
    return editor_->CreateStatement(&call, request, &response);
  }

  grpc::Status Save(const string& etag, Content content, Draft* saved = nullptr) {
    content.set_body("In full.");
    SaveDraftRequest request;
    request.set_request_id(NewId());
    request.mutable_draft()->set_name(kDraft);
    request.mutable_draft()->set_etag(etag);
    *request.mutable_draft()->mutable_content() = std::move(content);
    Call call("anna");
    SaveDraftResponse response;
    const auto status = editor_->SaveDraft(&call, request, &response);
    if (saved) *saved = response.draft();
    return status;
  }

  Draft Refusals() {
    Draft first, draft;
    Content content;
    content.set_title("Fire");
    Check(Save("", content, &first));
    content.set_title("One fire");
    Check(Save(first.etag(), content, &draft));
    const auto stale = Refusal(Save(first.etag(), content), grpc::ABORTED, "ETAG_MISMATCH").info;
    Check(stale.metadata().at("etag") == draft.etag(), stale.ShortDebugString());
    Check(stale.metadata().at("revision") == std::to_string(draft.revision()), stale.ShortDebugString());
    content.set_urgency(10);
    const auto wrong = Refusal(Save(draft.etag(), content), grpc::INVALID_ARGUMENT, "INVALID_ARGUMENT").bad;
    Check(wrong.field_violations_size() == 1 && wrong.field_violations(0).field() == "draft.content.urgency", wrong.ShortDebugString());
    Say("STATEMENT_EXISTS; ETAG_MISMATCH with the revision; INVALID_ARGUMENT with the field");
    return draft;
  }

  void Publish(const string& etag) {
    SubmitDraftRequest submit;
    submit.set_name(kDraft);
    submit.set_etag(etag);
    submit.set_request_id(NewId());
    SubmitDraftResponse submitted;
    Call anna("anna");
    Check(editor_->SubmitDraft(&anna, submit, &submitted));
    ApproveDraftRequest approve;
    approve.set_name(kDraft);
    approve.set_etag(submitted.draft().etag());
    approve.set_request_id(NewId());
    ApproveDraftResponse approved;
    Call bea("bea");
    Check(editor_->ApproveDraft(&bea, approve, &approved));
    Check(approved.draft().state() == Draft::STATE_APPROVED, approved.ShortDebugString());
    PublishDraftsRequest request;
    request.set_parent(kStatement);
    request.set_request_id(NewId());
    auto* one = request.add_drafts();
    one->set_language_code("en");
    one->set_etag(approved.draft().etag());
    PublishDraftsResponse published;
    Call chris("chris");
    Check(editor_->PublishDrafts(&chris, request, &published));
    Check(published.live(0).state() == Live::STATE_PUBLISHED, published.ShortDebugString());
  }

  void Correct() {
    Content content;
    content.set_title("Two fires");
    content.set_change_kind(CHANGE_KIND_CORRECTION);
    content.mutable_correction()->set_text("It was two.");
    Draft draft;
    Check(Save("", content, &draft));
    Publish(draft.etag());
  }

  void Withdraw() {
    WithdrawStatementRequest request;
    request.set_name(kStatement);
    request.set_request_id(NewId());
    request.mutable_notice()->set_text("It is no longer true.");
    Call call("chris");
    WithdrawStatementResponse withdrawn;
    Check(editor_->WithdrawStatement(&call, request, &withdrawn));
    Check(withdrawn.live(0).state() == Live::STATE_WITHDRAWN, withdrawn.ShortDebugString());
  }

  void Deadline() {
    const auto started = std::chrono::steady_clock::now();
    const auto status = Stream(*feed_, START_NOW, "", 500ms).End();
    Check(status.error_code() == grpc::DEADLINE_EXCEEDED, status.error_message());
    Check(std::chrono::steady_clock::now() - started < kPatience / 2, "the deadline came late");
    Say("a deadline of 500 ms ends a stream with DEADLINE_EXCEEDED");
  }

  void Sizes() {
    BatchGetStatementsRequest batch;
    for (int name = 0; name < 100; name++) batch.add_names(kStatement);
    Call call("site");
    call.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    BatchGetStatementsResponse read;
    Check(reader_->BatchGetStatements(&call, batch, &read));
    Check(read.statements_size() == 100, read.ShortDebugString());
    ListStatementsRequest request;
    request.set_page_token(string(5 << 20, 'x'));
    const std::vector<std::pair<grpc_compression_algorithm, string>> ways = {{GRPC_COMPRESS_GZIP, "decompressed"},
                                                                             {GRPC_COMPRESS_NONE, "5242885"}};
    for (const auto& [compression, words] : ways) {
      Call call("site");
      call.set_compression_algorithm(compression);
      ListStatementsResponse response;
      const auto status = reader_->ListStatements(&call, request, &response);
      const auto info = Refusal(status, grpc::RESOURCE_EXHAUSTED, "MESSAGE_TOO_LONG").info;
      Check(info.metadata().at("limit") == "MESSAGE_BYTES" && info.metadata().at("most") == "262144", info.ShortDebugString());
      Check(status.error_message().find(words) != string::npos && call.Pushback() == "-1", status.error_message());
    }
    Say("a gzip request is read; MESSAGE_TOO_LONG, compressed and not, with the limit and the pushback -1");
  }

  std::unique_ptr<EditorialService::Stub> editor_;
  std::unique_ptr<StatementService::Stub> reader_;
  std::unique_ptr<FeedService::Stub> feed_;
};

}  // namespace

int main(int count, char** arguments) {
  Check(count == 4, "usage: client life|resume|retry ADDRESS FILE");
  const string phase = arguments[1], address = arguments[2], path = arguments[3];
  Client client(address);
  if (phase == "life") client.Life(path);
  if (phase == "resume") client.Resume(path);
  if (phase == "retry") {
    grpc::ChannelArguments options;
    options.SetServiceConfigJSON(Read(path));
    Client retrying(address, options);
    client.Retry(retrying);
  }
}
