// Tests of include/trust_engine.hpp, as one program: it prints the name of each test, and ends with 1 at the first check that
// does not hold. A word as its argument runs only the tests whose names contain it.

#include <poll.h>
#include <stdlib.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "../../../examples/c/json.h"
#include "trust_engine.hpp"

using namespace trust_engine;
using std::string;

namespace {

/// The allocations of this program by `new`; those of the library are not among them.
std::atomic<std::size_t> allocations{0};

const char *current = "";

}  // namespace

// Not inlined, as gcc would take the two for a pair that does not match (-Wmismatched-new-delete).
[[gnu::noinline]] void *operator new(std::size_t size) {
    allocations++;
    void *memory = std::malloc(size == 0 ? 1 : size);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}

[[gnu::noinline]] void operator delete(void *memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }

namespace {

[[noreturn]] void fail(const char *file, int line, const string &what) {
    std::fprintf(stderr, "%s:%d: %s: %s\n", file, line, current, what.c_str());
    std::exit(1);
}

#define CHECK(condition)                                \
    do {                                                \
        if (!(condition)) {                             \
            fail(__FILE__, __LINE__, "not so: " #condition); \
        }                                               \
    } while (false)

/// Checks that an expression throws an Error with this code, and gives the error.
#define CHECK_ERROR(expected, expression)                                                              \
    [&]() -> Error {                                                                                   \
        try {                                                                                          \
            static_cast<void>(expression);                                                             \
        } catch (const Error &thrown) {                                                                \
            if (thrown.code() != (expected)) {                                                         \
                fail(__FILE__, __LINE__, string(thrown.code_name()) + ": " + thrown.what());           \
            }                                                                                          \
            return thrown;                                                                             \
        }                                                                                              \
        fail(__FILE__, __LINE__, "no error of " #expression);                                          \
    }()

/// GUEST and RELEASER, of which only the second deploys: in production with a second person, and ten times an hour. Everything is
/// recorded.
constexpr const char *POLICY = R"({"policyFormat":1,"name":"tests","tiers":[{"name":"GUEST"},{"name":"RELEASER"}],
"roles":[{"name":"READER","minimumTier":"GUEST"},{"name":"DEPLOYER","minimumTier":"RELEASER"}],
"rules":[{"id":"production","effect":"ESCALATE","reason":"two people","escalationPath":"managers","when":{"environments":["production"]}}],
"defaultEffect":"ALLOW","resources":["DEPLOYMENTS","BUILDS"],
"ceilings":{"agent":[{"tier":"RELEASER","resource":"DEPLOYMENTS","limit":10},{"tier":"RELEASER","resource":"BUILDS","limit":100000}]}})";

string owned(char *text) {
    CHECK(text != nullptr);
    string copy = text;
    std::free(text);
    return copy;
}

string quoted(const string &text) { return owned(json_quoted(text.c_str())); }

string member(const string &json, const char *name) { return owned(json_text(json.c_str(), name)); }

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

string in_memory() { return R"({"storage":{"memory":true},"policy":)" + quoted(POLICY) + "}"; }

/// An engine in memory with the agents `guest` and `ship`.
Engine open_engine() {
    Engine engine = Engine::open(in_memory());
    engine.call("agents.register", {}, R"({"id":"guest","tier":"GUEST"})").check();
    engine.call("agents.register", {}, R"({"id":"ship","tier":"RELEASER"})").check();
    return engine;
}

GateRequest deploy() {
    GateRequest request{"ship", "DEPLOYER"};
    request.environment = "staging";
    return request;
}

/// A folder that is removed with everything in it.
struct Folder {
    std::filesystem::path path;

    Folder() {
        string pattern = (std::filesystem::temp_directory_path() / "te-cpp-XXXXXX").string();
        CHECK(mkdtemp(pattern.data()) != nullptr);
        path = pattern;
    }
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;
    ~Folder() { std::filesystem::remove_all(path); }
};

void options_that_are_wrong_are_refused_by_name() {
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, Engine::open(R"({"storage":{"memory":true},"que":100})")).field() == "que");
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, Engine::open("{}")).field() == "storage");
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, Engine::open(R"({"storage":{"memory":true},"queue":0})")).field() == "queue");
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, Engine::open({})).field() == "options");
    const Error error = CHECK_ERROR(TE_INVALID_POLICY, Engine::open(R"({"storage":{"memory":true},"policy":"name: x"})"));
    CHECK(error.field().empty() && !error.retryable() && error.code_name() == "TE_INVALID_POLICY");
    CHECK(error.message() == error.what() && contains(error.message(), "policyFormat"));
}

void a_gate_gives_the_decision_its_reasons_and_its_trace() {
    const Engine engine = open_engine();
    GateRequest request = deploy();
    request.tier = "RELEASER";
    request.organization = "default";
    request.caller = "gateway";
    request.on_behalf_of = "ops";
    request.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.resource_id = "api";
    request.action = "deploy";
    request.metadata = R"({"change":17})";
    const GateVerdict allowed = engine.evaluate_gate(request);
    CHECK(allowed && allowed.allowed() && allowed.decision() == TE_ALLOW && allowed.reason_code() == "TIER_SUFFICIENT");
    CHECK(allowed.recorded() == TE_RECORD_COMMITTED && !allowed.id().is_nil() && allowed.time() > Time());
    CHECK(contains(allowed.trace(), "minimum RELEASER") && contains(allowed.json(), R"("decision":"ALLOW")"));
    CHECK(!allowed.required_tier() && !allowed.escalation_path());
    CHECK(contains(engine.call("provenance.get", R"({"id":")" + allowed.id().to_string() + "\"}").value(), R"("change":17)"));

    const GateVerdict denied = engine.evaluate_gate({"guest", "DEPLOYER"});
    CHECK(!denied && denied.decision() == TE_DENY && denied.required_tier() == "RELEASER");
    request.environment = "production";
    const GateVerdict escalated = engine.evaluate_gate(request);
    CHECK(!escalated && escalated.decision() == TE_ESCALATE && escalated.escalation_path() == "managers");
    CHECK(contains(escalated.reason(), "two people") && escalated.id() != allowed.id());
}

void a_text_that_is_set_and_empty_is_refused_and_not_taken_for_absent() {
    const Engine engine = open_engine();
    GateRequest request = deploy();
    request.organization = std::string_view();
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, engine.decide_gate(request)).field() == "organization");
    request = deploy();
    request.agent_id = {};
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, engine.decide_gate(request)).field() == "agentId");
    request = deploy();
    request.metadata = "[]";
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, engine.decide_gate(request)).field() == "context.metadata");
    request = deploy();
    request.tier = "\xff";
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, engine.decide_gate(request)).field() == "tier");
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, engine.quota("ship", std::string_view())).field() == "organization");
}

void the_hot_path_writes_one_verdict_again_and_again_and_allocates_nothing() {
    const Engine engine = open_engine();
    const GateRequest request = deploy();
    const CeilingRequest use{"ship", {{"BUILDS", 1}}};
    const Quota quota = engine.quota("ship");
    GateVerdict gate;
    CeilingVerdict check;
    engine.decide_gate(request, gate);
    engine.check_ceiling_now(use, check);
    const Uuid first = gate.id();
    const std::size_t before = allocations;
    for (int turn = 0; turn < 100; turn++) {
        engine.decide_gate(request, gate);
        CHECK(gate);
        engine.evaluate_gate(request, gate);
        CHECK(gate);
        engine.check_ceiling_now(use, check);
        CHECK(check);
        engine.check_ceiling(use, check);
        CHECK(check);
        quota.try_take("BUILDS", 1, check);
        CHECK(check);
    }
    CHECK(allocations == before);
    CHECK(gate.id() != first && check.usage().current_usage == 301);
}

void a_call_that_fails_leaves_no_earlier_decision_in_its_verdict() {
    const Engine engine = open_engine();
    GateVerdict gate = engine.evaluate_gate(deploy());
    CHECK(gate);
    CHECK_ERROR(TE_INVALID_INPUT, engine.decide_gate({"ship", ""}, gate));
    CHECK(!gate && gate.decision() == TE_DENY && gate.reason().empty() && gate.id().is_nil());
    engine.decide_gate(deploy(), gate);
    CHECK(gate);

    const Quota quota = engine.quota("ship");
    CeilingVerdict check = quota.try_take("BUILDS", 1);
    CHECK(check);
    CHECK_ERROR(TE_INVALID_INPUT, quota.try_take("BUILDS", 0, check));
    CHECK(!check && check.usage().ceiling == 0);
}

void a_verdict_of_decide_gate_is_committed_once() {
    const Engine engine = open_engine();
    GateVerdict verdict = engine.decide_gate(deploy());
    CHECK(verdict.recorded() == TE_RECORD_PENDING);
    const std::optional<Receipt> receipt = verdict.committed();
    CHECK(receipt && receipt->id() == verdict.id() && receipt->tree_size() > receipt->leaf_index());
    CHECK(contains(receipt->json(), verdict.id().to_string()) && receipt->time() > Time());
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, verdict.committed()).field() == "verdict");
    GateVerdict waited = engine.evaluate_gate(deploy());
    CHECK_ERROR(TE_INVALID_INPUT, waited.committed());
}

void a_ceiling_is_checked_until_it_refuses() {
    const Engine engine = open_engine();
    const CeilingRequest request{"ship", {{"DEPLOYMENTS", 4}, {"BUILDS", 1}}};
    CHECK(engine.check_ceiling(request) && engine.check_ceiling_now(request));
    const CeilingVerdict refused = engine.check_ceiling(request);
    CHECK(!refused && refused.reason_code() == "CEILING_EXCEEDED" && refused.retry_after().count() == 0);
    CHECK(!refused.id().is_nil() && refused.recorded() == TE_RECORD_COMMITTED && refused.time() > Time());
    const Usage usage = refused.usage();
    CHECK(usage.current_usage == 8 && usage.ceiling == 10 && usage.remaining == 2 && usage.reset_at > refused.time());
    CHECK(refused.near_limit() && contains(refused.json(), R"("allowed":false)") && contains(refused.reason(), "2 left"));

    CeilingRequest again{"ship", {{"DEPLOYMENTS", 1}}};
    again.request_id = "order-17";
    CHECK(!engine.check_ceiling(again).repeated());
    CHECK(engine.check_ceiling(again).repeated());

    Demands demands;
    CHECK_ERROR(TE_INVALID_INPUT, engine.check_ceiling({"ship", demands}));
    for (std::size_t count = 0; count < Demands::max; count++) {
        demands.add("BUILDS", 1);
    }
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, demands.add("BUILDS", 1)).field() == "demands");
}

void a_quota_takes_until_it_refuses_and_not_more_in_threads() {
    const Engine engine = open_engine();
    const Quota quota = engine.quota("ship", "default");
    std::atomic<int> admitted{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; thread++) {
        threads.emplace_back([&] {
            CeilingVerdict verdict;
            for (int turn = 0; turn < 10; turn++) {
                quota.try_take("DEPLOYMENTS", 1, verdict);
                admitted += verdict ? 1 : 0;
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    CHECK(admitted == 10);
    CHECK(!quota.try_take("DEPLOYMENTS", 1) && quota.try_take("BUILDS", 1));
}

void a_reservation_is_committed_or_voided_once() {
    const Engine engine = open_engine();
    const CeilingRequest request{"ship", {{"DEPLOYMENTS", 8}}};
    CeilingVerdict verdict;
    std::optional<Reservation> reservation = engine.reserve(request, verdict);
    CHECK(reservation && verdict.usage().remaining == 2);
    CHECK(!engine.reserve(request, verdict) && !verdict);
    CHECK_ERROR(TE_INVALID_INPUT, reservation->commit({1, 2}));
    const std::optional<Receipt> receipt = reservation->commit({3});
    CHECK(receipt && !receipt->id().is_nil());
    CHECK_ERROR(TE_CONFLICT, reservation->commit({3}));
    CHECK_ERROR(TE_CONFLICT, reservation->void_());

    CHECK(engine.check_ceiling({"ship", {{"DEPLOYMENTS", 3}}}).usage().current_usage == 6);
    reservation = engine.reserve({"ship", {{"DEPLOYMENTS", 4}}}, verdict);
    CHECK(reservation && reservation->void_());
    CHECK(engine.check_ceiling({"ship", {{"DEPLOYMENTS", 4}}}).usage().current_usage == 10);
    verdict = engine.check_ceiling({"ship", {{"BUILDS", 1}}});
    CHECK_ERROR(TE_INVALID_INPUT, engine.reserve({"ship", {}}, verdict));
    CHECK(!verdict);
}

void a_record_with_an_id_of_its_own_gives_the_same_receipt_twice() {
    const Engine engine = open_engine();
    const string parent = engine.evaluate_gate(deploy()).id().to_string();
    NewRecord record{"ALERT", "ship", "ROLLED_BACK"};
    record.id = "0198c5a2-0000-4000-8000-000000000001";
    record.reason_code = "SLOW";
    record.reason = "too slow";
    record.context = R"({"ms":17})";
    record.parent_id = parent;
    const Receipt first = engine.record(record);
    CHECK(first.id().to_string() == *record.id);
    const Receipt second = engine.record(record);
    CHECK(second.json() == first.json());
    record.reason = "another content";
    CHECK_ERROR(TE_CONFLICT, engine.record(record));
    record.id = "17";
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, engine.record(record)).field() == "id");
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, engine.record({"ALARM", "ship", "X"})).field() == "type");
}

void a_call_gives_an_answer_and_an_answer_can_be_an_error() {
    const Engine engine = open_engine();
    const Answer agent = engine.call("agents.get", R"({"agentId":"ship"})");
    CHECK(agent.ok() && agent.status() == 200 && agent.etag() == "\"1\"" && contains(agent.body(), R"("tier":"RELEASER")"));
    CHECK(contains(agent.content_type(), "application/json") && !agent.immutable() && agent.retry_after().count() == 0);
    CHECK(agent.value() == agent.body());

    const Answer missing = engine.call("agents.get", R"({"agentId":"nobody"})");
    CHECK(!missing.ok() && missing.status() == 404 && contains(missing.body(), "P6_NOT_FOUND") && !missing.etag());
    CHECK_ERROR(TE_NOT_FOUND, missing.value());
    CHECK_ERROR(TE_NOT_FOUND, engine.call("no.such.call").value());
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, engine.call("agents.get", R"({"agent":"ship"})").check()).field() == "agent");

    Call change{"agents.put"};
    change.parameters = R"({"agentId":"ship"})";
    change.body = R"({"status":"SUSPENDED"})";
    change.if_match = "\"7\"";
    CHECK_ERROR(TE_CONFLICT, engine.call(change).check());
    change.if_match = "\"1\"";
    CHECK(engine.call(change).etag() == "\"2\"");
    CHECK(!engine.evaluate_gate(deploy()));
}

void a_caller_may_do_what_its_permissions_allow() {
    const Engine engine = open_engine();
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, Caller(R"({"nam":"x"})")).field() == "nam");
    Caller caller(R"({"name":"reader","permissions":["agents:read"]})");
    CHECK(engine.call(caller, "agents.count").value() == "2");
    CHECK_ERROR(TE_FORBIDDEN, engine.call(caller, Call{"stats.get"}).check());
    CHECK(engine.subscribe(caller, "agents.list").next().has_value());
    CHECK_ERROR(TE_FORBIDDEN, engine.subscribe(caller, "provenance.follow"));

    // An empty caller is not the host.
    const Caller moved = std::move(caller);
    CHECK_ERROR(TE_INVALID_HANDLE, engine.call(caller, "agents.count"));
    CHECK_ERROR(TE_INVALID_HANDLE, engine.subscribe(caller, "agents.list"));
    CHECK_ERROR(TE_INVALID_HANDLE, engine.call_async(caller, Call{"agents.count"}, nullptr));
    CHECK(engine.call(moved, "agents.count").ok());
}

void a_subscription_is_read_by_a_loop_to_its_end() {
    const Engine engine = open_engine();
    for (int turn = 0; turn < 30; turn++) {
        engine.evaluate_gate(deploy());
    }
    Subscription records = engine.subscribe("provenance.query", R"({"agentId":"ship","type":"ROLE_GATE"})");
    std::set<string> ids;
    for (const string &record : records) {
        ids.insert(member(record, "id"));
    }
    CHECK(ids.size() == 30);
    CHECK(!records.next() && records.begin() == records.end());

    Subscription agents = engine.subscribe("agents.list");
    Subscription::iterator at = agents.begin();
    const string first = *at++;
    CHECK(member(first, "id") == "guest" && member(*at, "id") == "ship" && !at->empty());
    CHECK(++at == agents.end());
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, engine.subscribe("agents.list", R"({"que":1})")).field() == "que");
    CHECK_ERROR(TE_NOT_FOUND, engine.subscribe("no.such.stream"));
}

void a_subscription_that_waits_is_stopped_by_another_thread() {
    const Engine engine = open_engine();
    Subscription followed = engine.subscribe("provenance.follow", R"({"type":"ROLE_GATE"})");
    engine.evaluate_gate(deploy());
    CHECK(followed.next().has_value());
    std::promise<void> waits;
    std::thread other([&] {
        waits.get_future().wait();
        followed.stop();
    });
    waits.set_value();
    CHECK(!followed.next());
    other.join();
    engine.evaluate_gate(deploy());
    CHECK(!followed.next());
    followed.stop();
}

void a_subscription_that_follows_hears_of_the_end_of_its_engine() {
    Engine engine = open_engine();
    Subscription followed = engine.subscribe("provenance.follow");
    std::thread other([&] { engine.close(); });
    CHECK_ERROR(TE_CLOSED, followed.next());
    other.join();
}

void a_callback_is_given_the_completion_of_every_kind_of_call() {
    Engine engine = open_engine();
    std::promise<GateVerdict> gate;
    engine.evaluate_gate_async(deploy(), [&](Completion done) noexcept {
        CHECK(done.code() == TE_OK && done.user_data() == nullptr);
        done.check();
        gate.set_value(done.take_gate_verdict());
    });
    CHECK(gate.get_future().get());

    std::promise<CeilingVerdict> check;
    engine.check_ceiling_async({"ship", {{"DEPLOYMENTS", 1}}},
                               [&](Completion done) noexcept { check.set_value(done.take_ceiling_verdict()); });
    CHECK(check.get_future().get());

    std::promise<Uuid> recorded;
    engine.record_async({"ALERT", "ship", "X"},
                        [&](Completion done) noexcept { recorded.set_value(done.take_receipt()->id()); });
    CHECK(!recorded.get_future().get().is_nil());

    std::promise<Uuid> committed;
    GateVerdict verdict = engine.decide_gate(deploy());
    engine.committed_async(verdict, [&](Completion done) noexcept { committed.set_value(done.take_receipt()->id()); });
    CHECK(committed.get_future().get() == verdict.id());

    // A callback that can be copied, and one that can only be moved.
    std::promise<string> body;
    const Callback callback = [&](Completion done) { body.set_value(done.take_answer().value()); };
    engine.call_async(Call{"agents.count"}, callback);
    CHECK(body.get_future().get() == "2");
    auto answer = std::make_unique<std::promise<std::uint16_t>>();
    std::future<std::uint16_t> status = answer->get_future();
    engine.call_async(Caller(R"({"permissions":[]})"), Call{"agents.count"},
                      [answer = std::move(answer)](Completion done) noexcept { answer->set_value(done.take_answer().status()); });
    CHECK(status.get() == 403);
}

void a_completion_gives_its_outcome_once_and_of_its_own_kind() {
    const Engine engine = open_engine();
    std::promise<Completion> promise;
    engine.evaluate_gate_async(deploy(), [&](Completion done) noexcept { promise.set_value(std::move(done)); });
    Completion done = promise.get_future().get();
    CHECK_ERROR(TE_CONFLICT, done.take_receipt());
    CHECK_ERROR(TE_CONFLICT, done.take_answer());
    CHECK(done.take_gate_verdict());
    CHECK_ERROR(TE_CONFLICT, done.take_gate_verdict());

    std::promise<Completion> other;
    NewRecord record{"ALERT", "ship", "X"};
    record.parent_id = "0198c5a2-0000-4000-8000-00000000000f";
    engine.record_async(record, [&](Completion failed) noexcept { other.set_value(std::move(failed)); });
    done = other.get_future().get();
    CHECK(done.code() == TE_NOT_FOUND);
    CHECK_ERROR(TE_NOT_FOUND, done.check());
    CHECK_ERROR(TE_NOT_FOUND, done.take_receipt());
}

void a_callback_is_destroyed_once_whether_its_call_began_or_not() {
    Engine engine = open_engine();
    const auto counted = std::make_shared<int>(0);
    const auto count = [counted](Completion) noexcept { ++*counted; };
    CHECK(counted.use_count() == 2);
    for (int turn = 0; turn < 10; turn++) {
        engine.evaluate_gate_async(deploy(), count);
    }
    GateRequest unreadable = deploy();
    unreadable.metadata = "[]";
    CHECK_ERROR(TE_INVALID_INPUT, engine.evaluate_gate_async(unreadable, count));
    CHECK_ERROR(TE_INVALID_INPUT, engine.call_async(Call{"agents.count"}, Callback()));
    engine.close();
    CHECK(*counted == 10 && counted.use_count() == 2);
    CHECK_ERROR(TE_CLOSED, engine.evaluate_gate_async(deploy(), count));
    CHECK(*counted == 10 && counted.use_count() == 2);

    const auto plain = [](Completion) {};
    static_assert(!std::is_nothrow_invocable_v<decltype(plain) &, Completion>);
    static_assert(std::is_nothrow_invocable_v<decltype(count) &, Completion>);
}

bool is_readable(int fd, int wait_ms) {
    pollfd watched = {fd, POLLIN, 0};
    return ::poll(&watched, 1, wait_ms) == 1;
}

void completions_of_256_calls_in_flight_are_polled_behind_the_event_fd() {
    const Engine engine = open_engine();
    const int fd = engine.event_fd();
    CHECK(!is_readable(fd, 0) && engine.poll().empty());
    std::vector<int> seen(256);
    for (std::size_t at = 0; at < seen.size(); at++) {
        switch (at % 4) {
            case 0: engine.evaluate_gate_async(deploy(), &seen[at]); break;
            case 1: engine.check_ceiling_async({"ship", {{"BUILDS", 1}}}, &seen[at]); break;
            case 2: engine.record_async({"ALERT", "ship", "X"}, &seen[at]); break;
            default: engine.call_async(Call{"provenance.query"}, &seen[at]); break;
        }
    }
    std::size_t count = 0;
    while (count < seen.size()) {
        CHECK(is_readable(fd, 30'000));
        std::vector<Completion> taken = engine.poll(100);
        CHECK(!taken.empty() && taken.size() <= 100);
        for (Completion &done : taken) {
            int *slot = static_cast<int *>(done.user_data());
            done.check();
            switch ((slot - seen.data()) % 4) {
                case 0: CHECK(done.take_gate_verdict()); break;
                case 1: CHECK(done.take_ceiling_verdict()); break;
                case 2: CHECK(done.take_receipt()); break;
                default: CHECK(done.take_answer().ok()); break;
            }
            ++*slot;
            count++;
        }
    }
    CHECK(std::set<int>(seen.begin(), seen.end()) == std::set<int>{1});
    CHECK(!is_readable(fd, 0) && engine.poll().empty());

    GateVerdict verdict = engine.decide_gate(deploy());
    engine.committed_async(verdict, &verdict);
    CHECK(is_readable(fd, 30'000));
    Completion done = std::move(engine.poll(1).at(0));
    CHECK(done.user_data() == &verdict && done.take_receipt()->id() == verdict.id());
}

void an_object_that_was_moved_from_is_empty() {
    Engine engine = open_engine();
    GateVerdict gate = engine.evaluate_gate(deploy());
    CeilingVerdict check = engine.check_ceiling({"ship", {{"BUILDS", 1}}});
    Quota quota = engine.quota("ship");
    Subscription agents = engine.subscribe("agents.list");
    Answer answer = engine.call("agents.count");
    Receipt receipt = engine.record({"ALERT", "ship", "X"});
    std::optional<Reservation> reservation = engine.reserve({"ship", {{"BUILDS", 1}}}, check);
    engine.evaluate_gate_async(deploy(), nullptr);
    CHECK(is_readable(engine.event_fd(), 30'000));
    Completion done = std::move(engine.poll().at(0));

    const Engine other = std::move(engine);
    const GateVerdict other_gate = std::move(gate);
    const CeilingVerdict other_check = std::move(check);
    const Quota other_quota = std::move(quota);
    const Subscription other_agents = std::move(agents);
    const Answer other_answer = std::move(answer);
    const Receipt other_receipt = std::move(receipt);
    const Reservation other_reservation = std::move(*reservation);
    const Completion other_done = std::move(done);
    CHECK(other_gate && other_check && other_answer.ok() && other_done.code() == TE_OK && !other_receipt.id().is_nil());

    CHECK(!gate && gate.decision() == TE_DENY && gate.trace().empty() && !gate.escalation_path() && gate.id().is_nil());
    CHECK(!check && check.json().empty() && check.recorded() == TE_NOT_RECORDED && check.time() == Time());
    CHECK(!answer.ok() && answer.status() == 0 && answer.body().empty());
    CHECK(receipt.id().is_nil() && receipt.json().empty() && receipt.tree_size() == 0);
    CHECK(engine.get() == nullptr && done.code() == TE_INVALID_HANDLE && done.user_data() == nullptr);
    CHECK_ERROR(TE_INVALID_HANDLE, engine.decide_gate(deploy()));
    CHECK_ERROR(TE_INVALID_HANDLE, engine.call("agents.count"));
    CHECK_ERROR(TE_INVALID_HANDLE, engine.poll());
    CHECK_ERROR(TE_INVALID_HANDLE, engine.close());
    CHECK_ERROR(TE_INVALID_HANDLE, gate.committed());
    CHECK_ERROR(TE_INVALID_HANDLE, quota.try_take("BUILDS", 1));
    CHECK_ERROR(TE_INVALID_HANDLE, reservation->commit({1}));
    CHECK_ERROR(TE_INVALID_HANDLE, agents.next());
    CHECK_ERROR(TE_INVALID_HANDLE, agents.stop());
    CHECK_ERROR(TE_INVALID_HANDLE, answer.value());
    CHECK_ERROR(TE_INVALID_HANDLE, done.take_gate_verdict());

    // A verdict that was moved from can be written again.
    other.decide_gate(deploy(), gate);
    other.check_ceiling({"ship", {{"BUILDS", 1}}}, check);
    CHECK(gate && check);
    static_assert(std::is_nothrow_move_constructible_v<Engine> && std::is_nothrow_move_assignable_v<GateVerdict>);
    static_assert(!std::is_copy_constructible_v<Engine> && !std::is_copy_constructible_v<Completion>);
    static_assert(std::is_nothrow_copy_constructible_v<Error> && std::is_nothrow_default_constructible_v<CeilingVerdict>);
}

void calls_after_closing_give_te_closed() {
    Engine engine = open_engine();
    const Quota quota = engine.quota("ship");
    Subscription followed = engine.subscribe("provenance.follow");
    GateVerdict verdict = engine.decide_gate(deploy());
    engine.close();
    engine.close();
    CHECK(verdict.committed().has_value());
    CHECK_ERROR(TE_CLOSED, engine.decide_gate(deploy()));
    CHECK_ERROR(TE_CLOSED, engine.evaluate_gate(deploy()));
    CHECK_ERROR(TE_CLOSED, engine.check_ceiling({"ship", {{"BUILDS", 1}}}));
    CHECK_ERROR(TE_CLOSED, engine.check_ceiling_now({"ship", {{"BUILDS", 1}}}));
    CHECK_ERROR(TE_CLOSED, quota.try_take("BUILDS", 1));
    CHECK_ERROR(TE_CLOSED, engine.record({"ALERT", "ship", "X"}));
    CHECK_ERROR(TE_CLOSED, engine.call("agents.register", {}, R"({"id":"late"})").check());
    // The verdict is read first: it is committed, and follows the subscription.
    CHECK(followed.next().has_value());
    CHECK_ERROR(TE_CLOSED, followed.next());
}

void an_engine_is_not_closed_in_a_callback_but_may_be_destroyed_there() {
    auto engine = std::make_shared<Engine>(open_engine());
    std::promise<Code> code;
    engine->evaluate_gate_async(deploy(), [&](Completion) noexcept {
        try {
            engine->close();
            code.set_value(TE_OK);
        } catch (const Error &error) {
            code.set_value(error.code());
        }
    });
    CHECK(code.get_future().get() == TE_IN_CALLBACK);

    std::promise<void> begun;
    std::promise<void> destroyed;
    std::promise<Code> later;
    std::shared_future<void> go = begun.get_future().share();
    engine->evaluate_gate_async(deploy(), [&destroyed, go, of = engine](Completion) mutable noexcept {
        go.wait();
        of.reset();
        destroyed.set_value();
    });
    engine->evaluate_gate_async(deploy(), [&later](Completion done) noexcept { later.set_value(done.code()); });
    engine.reset();
    begun.set_value();
    destroyed.get_future().wait();
    CHECK(later.get_future().get() == TE_OK);
}

void the_store_is_locked_until_the_engine_and_its_quotas_are_destroyed() {
    const Folder folder;
    const string options =
        R"({"storage":{"embedded":)" + quoted((folder.path / "store").string()) + R"(},"policy":)" + quoted(POLICY) + "}";
    {
        Engine engine = Engine::open(options);
        engine.call("agents.register", {}, R"({"id":"ship","tier":"RELEASER"})").check();
        CHECK(CHECK_ERROR(TE_LOCKED, Engine::open(options)).retryable());
        const Quota quota = engine.quota("ship");
        engine.close();
        CHECK_ERROR(TE_LOCKED, Engine::open(options));
    }
    CHECK(Engine::open(options).evaluate_gate(deploy()));
}

void eight_threads_use_one_engine() {
    const Engine engine = open_engine();
    std::mutex lock;
    std::set<string> ids;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 8; thread++) {
        threads.emplace_back([&] {
            GateVerdict gate;
            CeilingVerdict check;
            for (int turn = 0; turn < 25; turn++) {
                engine.decide_gate(deploy(), gate);
                CHECK(gate && gate.committed());
                engine.check_ceiling({"ship", {{"BUILDS", 1}}}, check);
                CHECK(check);
                CHECK(engine.call("agents.count").value() == "2");
                const std::lock_guard<std::mutex> guard(lock);
                CHECK(ids.insert(gate.id().to_string()).second);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    CHECK(ids.size() == 200);
    CHECK(engine.check_ceiling({"ship", {{"BUILDS", 1}}}).usage().current_usage == 201);
}

/// Bytes of hexadecimal digits.
string bytes_of(const string &hex) {
    string bytes;
    for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
        bytes.push_back(static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16)));
    }
    return bytes;
}

void a_record_is_verified_without_an_engine_and_not_after_one_byte_was_changed() {
    string evidence;
    {
        const Engine engine = open_engine();
        NewRecord record{"ALERT", "ship", "ROLLED_BACK"};
        record.reason = "a \"quote\", a line\nand an ümlaut";
        const string id = engine.record(record).id().to_string();
        evidence = engine.call("provenance.evidence", R"({"id":")" + id + "\"}").value();
    }
    const string entry = member(evidence, "entry");
    const string payload = member(evidence, "payload");
    const string salt = bytes_of(member(evidence, "salt"));
    const string proof = member(evidence, "proof");
    const string key = member(evidence, "verifierKey");
    verify::record(entry, proof, key);
    verify::payload(entry, payload, salt);
    CHECK(contains(payload, "ümlaut") && salt.size() == 32);

    for (std::size_t at = 0; at < entry.size(); at += 7) {
        string tampered = entry;
        tampered[at] ^= 1;
        CHECK_ERROR(TE_NOT_VERIFIED, verify::record(tampered, proof, key));
    }
    string tampered = payload;
    tampered[tampered.size() / 2] ^= 1;
    CHECK_ERROR(TE_NOT_VERIFIED, verify::payload(entry, tampered, salt));
    CHECK_ERROR(TE_NOT_VERIFIED, verify::payload(entry, payload, string(32, '\0')));
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, verify::payload(entry, payload, "short")).field() == "salt");
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, verify::record(entry, proof, "no key")).field() == "verifierKey");
    CHECK_ERROR(TE_NOT_VERIFIED, verify::record(entry, "no proof", key));
    CHECK_ERROR(TE_NOT_VERIFIED, verify::record({}, proof, key));
}

/// The hashes of an answer of `log.consistency`, one on each line: none of them has a character that JSON escapes.
string lines_of_proof(const string &answer) {
    string lines;
    const std::size_t begin = answer.find("\"proof\":[") + std::strlen("\"proof\":[");
    for (const char c : answer.substr(begin, answer.find(']', begin) - begin)) {
        if (c != '"') {
            lines.push_back(c == ',' ? '\n' : c);
        }
    }
    return lines;
}

void the_log_goes_on_from_an_older_checkpoint_and_its_export_is_verified() {
    const Folder folder;
    const Engine engine = open_engine();
    const string key = member(engine.call("engine.info").value(), "verifierKey");
    const string older = engine.call("log.checkpoint").value();
    const string size = older.substr(older.find('\n') + 1, older.find('\n', older.find('\n') + 1) - older.find('\n') - 1);
    for (int turn = 0; turn < 5; turn++) {
        engine.record({"ALERT", "ship", "X"});
    }
    const string answer = engine.call("log.consistency", "{\"older\":" + size + "}").value();
    const string newer = member(answer, "checkpoint");
    const string proof = lines_of_proof(answer);
    verify::consistency(older, newer, proof, key);
    verify::consistency(newer, newer, {}, key);
    CHECK_ERROR(TE_NOT_VERIFIED, verify::consistency(older, newer, proof.substr(proof.find('\n') + 1), key));
    CHECK_ERROR(TE_NOT_VERIFIED, verify::consistency(newer, older, proof, key));
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, verify::consistency(older, newer, "?", key)).field() == "proof");

    const string out = (folder.path / "log").string();
    trust_engine::Call to_folder{"log.export"};
    const string parameters = R"({"folder":)" + quoted(out) + "}";
    to_folder.parameters = parameters;
    CHECK_ERROR(TE_FORBIDDEN, engine.call(to_folder).check());
    engine.call(trust_engine::Caller(R"({"fleetWide":true})"), to_folder).check();
    verify::log(out, key);
    verify::log(out, key, older);
    CHECK(CHECK_ERROR(TE_INVALID_INPUT, verify::log(out, key, "no note")).field() == "since");
    const string other = member(open_engine().call("engine.info").value(), "verifierKey");
    CHECK_ERROR(TE_NOT_VERIFIED, verify::log(out, other));
    std::filesystem::path last;
    for (const auto &file : std::filesystem::recursive_directory_iterator(out)) {
        if (file.is_regular_file() && contains(file.path().string(), "/tile/entries/")) {
            last = file.path();
        }
    }
    CHECK(!last.empty());
    std::filesystem::resize_file(last, std::filesystem::file_size(last) - 1);
    CHECK_ERROR(TE_NOT_VERIFIED, verify::log(out, key));
}

void the_library_says_its_version_and_its_calls() {
    CHECK(te_abi_version() == TE_ABI_VERSION && !version().empty());
    CHECK(contains(call_table(), R"("name":"agents.register")"));
    CHECK(Error(TE_LOCKED, "x").code_name() == "TE_LOCKED");
    const Error cut(TE_INVALID_INPUT, "x", string(100, 'f').c_str());
    CHECK(cut.field() == string(TE_FIELD_BYTES - 1, 'f'));
    CHECK(Uuid().to_string() == "00000000-0000-0000-0000-000000000000" && Uuid() == Uuid());
}

struct Test {
    const char *name;
    void (*run)();
};

#define TEST(function) \
    { #function, function }

const Test TESTS[] = {
    TEST(options_that_are_wrong_are_refused_by_name),
    TEST(a_gate_gives_the_decision_its_reasons_and_its_trace),
    TEST(a_text_that_is_set_and_empty_is_refused_and_not_taken_for_absent),
    TEST(the_hot_path_writes_one_verdict_again_and_again_and_allocates_nothing),
    TEST(a_call_that_fails_leaves_no_earlier_decision_in_its_verdict),
    TEST(a_verdict_of_decide_gate_is_committed_once),
    TEST(a_ceiling_is_checked_until_it_refuses),
    TEST(a_quota_takes_until_it_refuses_and_not_more_in_threads),
    TEST(a_reservation_is_committed_or_voided_once),
    TEST(a_record_with_an_id_of_its_own_gives_the_same_receipt_twice),
    TEST(a_call_gives_an_answer_and_an_answer_can_be_an_error),
    TEST(a_caller_may_do_what_its_permissions_allow),
    TEST(a_subscription_is_read_by_a_loop_to_its_end),
    TEST(a_subscription_that_waits_is_stopped_by_another_thread),
    TEST(a_subscription_that_follows_hears_of_the_end_of_its_engine),
    TEST(a_callback_is_given_the_completion_of_every_kind_of_call),
    TEST(a_completion_gives_its_outcome_once_and_of_its_own_kind),
    TEST(a_callback_is_destroyed_once_whether_its_call_began_or_not),
    TEST(completions_of_256_calls_in_flight_are_polled_behind_the_event_fd),
    TEST(an_object_that_was_moved_from_is_empty),
    TEST(calls_after_closing_give_te_closed),
    TEST(an_engine_is_not_closed_in_a_callback_but_may_be_destroyed_there),
    TEST(the_store_is_locked_until_the_engine_and_its_quotas_are_destroyed),
    TEST(eight_threads_use_one_engine),
    TEST(a_record_is_verified_without_an_engine_and_not_after_one_byte_was_changed),
    TEST(the_log_goes_on_from_an_older_checkpoint_and_its_export_is_verified),
    TEST(the_library_says_its_version_and_its_calls),
};

}  // namespace

int main(int count, char **arguments) {
    for (const Test &test : TESTS) {
        if (count > 1 && !contains(test.name, arguments[1])) {
            continue;
        }
        current = test.name;
        std::printf("%s\n", test.name);
        std::fflush(stdout);
        try {
            test.run();
        } catch (const Error &error) {
            fail(__FILE__, __LINE__, string(error.code_name()) + ": " + error.what());
        } catch (const std::exception &error) {
            fail(__FILE__, __LINE__, error.what());
        }
    }
    return 0;
}
