// The C++17 interface of trust-engine, on top of trust_engine.h: classes that own the handles, exceptions for errors.
// docs/c.md tells how to use it.
//
// - A function that fails throws `Error`. An error is no verdict: treat it as a denial.
// - Classes can be moved and not copied. An object that was moved from is empty: calls on it throw TE_INVALID_HANDLE, verdicts
//   deny, and the other getters give zero or no text.
// - A std::string_view that an object gives points into that object: it is valid until the object is destroyed, moved from or
//   assigned to, and a view of a verdict only until a call writes that verdict again.
// - Views that a request holds are read only during the call that the request is passed to.
// - "Threads" says which threads may use one object at once. Constructors, destructors and moves are always for one thread.

#ifndef TRUST_ENGINE_HPP
#define TRUST_ENGINE_HPP

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "trust_engine.h"

/// The engine and its objects.
namespace trust_engine {

/// The result of a call: TE_OK, TE_INVALID_INPUT and so on. There may be new numbers in later versions.
using Code = te_code;

/// TE_DENY, TE_ALLOW or TE_ESCALATE.
using Decision = te_decision;

/// TE_NOT_RECORDED, TE_RECORD_PENDING or TE_RECORD_COMMITTED.
using Recorded = te_recorded;

/// A time of the engine, in microseconds since 1970-01-01T00:00:00Z.
using Time = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

/// The error that every call of this interface throws. Copies of it do not throw.
class Error : public std::runtime_error {
public:
    /// An error of the library.
    Error(Code code, const te_error &error) : Error(code, error.message, error.field, error.retryable) {}

    /// An error with a message and, for TE_INVALID_INPUT, the field that it is about. A longer field is cut.
    Error(Code code, const char *message, const char *field = "", bool retryable = false)
        : std::runtime_error(message), code_(code), retryable_(retryable) {
        const std::size_t length = std::strlen(field);
        std::memcpy(field_.data(), field, length < field_.size() ? length : field_.size() - 1);
    }

    /// The result of the call.
    Code code() const noexcept { return code_; }

    /// The name of the result, for example `TE_INVALID_INPUT`. The view is valid for ever.
    std::string_view code_name() const noexcept {
        const te_str name = te_code_name(static_cast<std::int32_t>(code_));
        return {name.ptr, name.len};
    }

    /// Whether the same call may succeed later without a change by the caller.
    bool retryable() const noexcept { return retryable_; }

    /// The offending field of TE_INVALID_INPUT, as JSON names it (`agentId`); empty for other errors.
    std::string_view field() const noexcept { return field_.data(); }

    /// The message, as `what()` gives it: one line that says what is wrong and what would be right.
    std::string_view message() const noexcept { return what(); }

private:
    Code code_;
    bool retryable_;
    std::array<char, TE_FIELD_BYTES> field_{};
};

/// The parts of this header that are not part of the interface.
namespace detail {

/// Frees handles of every kind.
struct Free {
    void operator()(te_engine *handle) const noexcept { te_engine_free(handle); }
    void operator()(te_gate_verdict *handle) const noexcept { te_gate_verdict_free(handle); }
    void operator()(te_ceiling_verdict *handle) const noexcept { te_ceiling_verdict_free(handle); }
    void operator()(te_quota *handle) const noexcept { te_quota_free(handle); }
    void operator()(te_reservation *handle) const noexcept { te_reservation_free(handle); }
    void operator()(te_receipt *handle) const noexcept { te_receipt_free(handle); }
    void operator()(te_caller *handle) const noexcept { te_caller_free(handle); }
    void operator()(te_answer *handle) const noexcept { te_answer_free(handle); }
    void operator()(te_subscription *handle) const noexcept { te_subscription_free(handle); }
    void operator()(te_completion *handle) const noexcept { te_completion_free(handle); }
};

template <class T>
using Handle = std::unique_ptr<T, Free>;

/// Makes an object of a handle that the library gave: the classes keep such constructors to themselves.
struct Make {
    template <class Object, class T>
    static Object of(T *handle) noexcept {
        return Object(Handle<T>(handle));
    }

    template <class Object, class T>
    static std::optional<Object> of_optional(T *handle) noexcept {
        return handle == nullptr ? std::nullopt : std::optional<Object>(of<Object>(handle));
    }
};

/// A text that is there, also if the view points nowhere: the engine refuses it as empty and does not take it for absent.
inline te_str str(std::string_view text) noexcept { return {text.data() == nullptr ? "" : text.data(), text.size()}; }

inline te_str str(const std::optional<std::string_view> &text) noexcept {
    return text.has_value() ? str(*text) : te_str{nullptr, 0};
}

inline std::string_view view(te_str text) noexcept { return {text.ptr, text.len}; }

inline std::optional<std::string_view> optional_view(te_str text) noexcept {
    return text.ptr == nullptr ? std::nullopt : std::optional<std::string_view>(view(text));
}

inline Time time(std::int64_t micros) noexcept { return Time(std::chrono::microseconds(micros)); }

/// A struct of C in which nothing is set but its size.
template <class T>
T sized() noexcept {
    T value{};
    value.size = sizeof(T);
    return value;
}

/// Makes a call that takes a `te_error` and gives its code. The kilobyte of the error is not cleared on the way in.
template <class F>
Code result(te_error &error, F &&call) {
    error.size = sizeof error;
    error.retryable = false;
    error.field[0] = '\0';
    error.message[0] = '\0';
    return std::forward<F>(call)(&error);
}

/// Makes a call, and throws if its code is not TE_OK.
template <class F>
void must(F &&call) {
    te_error error;
    const Code code = result(error, std::forward<F>(call));
    if (code != TE_OK) {
        throw Error(code, error);
    }
}

/// Makes a call that writes one handle.
template <class T, class F>
T *given(F &&call) {
    T *handle = nullptr;
    must([&](te_error *error) { return call(&handle, error); });
    return handle;
}

}  // namespace detail

/// A UUID.
struct Uuid {
    /// The 16 bytes, in the order in which they are written.
    std::array<std::uint8_t, 16> bytes{};

    /// Nil: all bytes are zero.
    Uuid() = default;

    /// The UUID of a struct of C.
    explicit Uuid(const te_uuid &id) noexcept { std::memcpy(bytes.data(), id.bytes, bytes.size()); }

    /// Whether all bytes are zero.
    bool is_nil() const noexcept { return *this == Uuid(); }

    /// The text, for example `0198c5a2-…`: 36 characters in lower case.
    std::string to_string() const {
        te_uuid id;
        std::memcpy(id.bytes, bytes.data(), bytes.size());
        std::array<char, TE_UUID_BYTES> text{};
        te_uuid_format(id, text.data());
        return text.data();
    }

    friend bool operator==(const Uuid &left, const Uuid &right) noexcept { return left.bytes == right.bytes; }
    friend bool operator!=(const Uuid &left, const Uuid &right) noexcept { return left.bytes != right.bytes; }
};

/// A request to a role gate: may this agent take this role here? An empty optional is no text at all. An empty text is refused.
struct GateRequest {
    /// The agent.
    std::string_view agent_id{};
    /// The role that the agent wants to take.
    std::string_view role{};
    /// The tier that the caller says the agent holds: a claim.
    std::optional<std::string_view> tier{};
    /// The organization; `default` if it is not set.
    std::optional<std::string_view> organization{};
    /// The caller that asks; the host vouches for it.
    std::optional<std::string_view> caller{};
    /// The person or service on whose behalf the agent acts.
    std::optional<std::string_view> on_behalf_of{};
    /// W3C Trace Context.
    std::optional<std::string_view> traceparent{};
    /// The resource that the role is to be used on.
    std::optional<std::string_view> resource_id{};
    /// The action that is to be done.
    std::optional<std::string_view> action{};
    /// The environment.
    std::optional<std::string_view> environment{};
    /// Other data worth recording: an object of JSON.
    std::optional<std::string_view> metadata{};

    /// The struct of C, which points to the same texts.
    te_gate_request to_c() const noexcept {
        auto request = detail::sized<te_gate_request>();
        request.agent_id = detail::str(agent_id);
        request.role = detail::str(role);
        request.tier = detail::str(tier);
        request.organization = detail::str(organization);
        request.caller = detail::str(caller);
        request.on_behalf_of = detail::str(on_behalf_of);
        request.traceparent = detail::str(traceparent);
        request.resource_id = detail::str(resource_id);
        request.action = detail::str(action);
        request.environment = detail::str(environment);
        request.metadata = detail::str(metadata);
        return request;
    }
};

/// An amount of one resource.
struct Demand {
    /// The resource.
    std::string_view resource_type{};
    /// 1 to 2^40 - 1.
    std::uint64_t requested_amount{};
};

/// Up to 16 demands, each for another resource, held in place: `{{"API_CALLS", 10}, {"COMPUTE", 2}}`.
class Demands {
public:
    /// The most demands of a request.
    static constexpr std::size_t max = 16;

    /// No demands: a request with none is refused.
    Demands() = default;

    /// The demands of a list. Throws TE_INVALID_INPUT for more than `max`.
    Demands(std::initializer_list<Demand> demands) {
        for (const Demand &demand : demands) {
            add(demand.resource_type, demand.requested_amount);
        }
    }

    /// Adds a demand. Throws TE_INVALID_INPUT for more than `max`.
    Demands &add(std::string_view resource_type, std::uint64_t requested_amount) {
        if (count_ == max) {
            throw Error(TE_INVALID_INPUT, "demands are more than 16", "demands");
        }
        demands_[count_] = te_demand{detail::str(resource_type), requested_amount};
        count_ += 1;
        return *this;
    }

    /// The first demand, for C.
    const te_demand *data() const noexcept { return demands_.data(); }

    /// The number of demands.
    std::size_t size() const noexcept { return count_; }

private:
    std::array<te_demand, max> demands_{};
    std::size_t count_ = 0;
};

/// A request for a ceiling check: may this agent use this much? An empty optional is no text at all. An empty text is refused.
struct CeilingRequest {
    /// The agent.
    std::string_view agent_id{};
    /// 1 to 16 demands, each for another resource: all are admitted, or none.
    Demands demands{};
    /// The tier that the caller says the agent holds: a claim.
    std::optional<std::string_view> tier{};
    /// The organization; `default` if it is not set.
    std::optional<std::string_view> organization{};
    /// The caller that asks; the host vouches for it.
    std::optional<std::string_view> caller{};
    /// The person or service on whose behalf the agent acts.
    std::optional<std::string_view> on_behalf_of{};
    /// W3C Trace Context.
    std::optional<std::string_view> traceparent{};
    /// Makes a retry of an admitted check free, in every engine of a fleet, for 24 hours. A reservation takes none.
    std::optional<std::string_view> request_id{};

    /// The struct of C, which points to the same demands and texts.
    te_ceiling_request to_c() const noexcept {
        auto request = detail::sized<te_ceiling_request>();
        request.agent_id = detail::str(agent_id);
        request.demands = demands.data();
        request.demand_count = demands.size();
        request.tier = detail::str(tier);
        request.organization = detail::str(organization);
        request.caller = detail::str(caller);
        request.on_behalf_of = detail::str(on_behalf_of);
        request.traceparent = detail::str(traceparent);
        request.request_id = detail::str(request_id);
        return request;
    }
};

/// A record that the host writes itself. An empty optional is no text at all. An empty text is refused.
struct NewRecord {
    /// `ROLE_GATE`, `CEILING`, `ESCALATION` or `ALERT`.
    std::string_view kind{};
    /// The agent that the record is about.
    std::string_view agent_id{};
    /// One of the engine's decisions, or a word of the host's own: a letter, then at most 63 letters, digits or `_.:-`.
    std::string_view decision{};
    /// An id of the caller's own, a UUID: a retry with the same content returns the same receipt.
    std::optional<std::string_view> id{};
    /// The reason as a stable word.
    std::optional<std::string_view> reason_code{};
    /// The reason for people.
    std::optional<std::string_view> reason{};
    /// Anything else that is to be kept: an object of JSON.
    std::optional<std::string_view> context{};
    /// The record of the same organization that this one follows from, a UUID.
    std::optional<std::string_view> parent_id{};
    /// The organization; `default` if it is not set.
    std::optional<std::string_view> organization{};
    /// The caller that records; the host vouches for it.
    std::optional<std::string_view> caller{};
    /// The person or service on whose behalf the agent acts.
    std::optional<std::string_view> on_behalf_of{};
    /// W3C Trace Context.
    std::optional<std::string_view> traceparent{};

    /// The struct of C, which points to the same texts.
    te_new_record to_c() const noexcept {
        auto record = detail::sized<te_new_record>();
        record.kind = detail::str(kind);
        record.agent_id = detail::str(agent_id);
        record.decision = detail::str(decision);
        record.id = detail::str(id);
        record.reason_code = detail::str(reason_code);
        record.reason = detail::str(reason);
        record.context = detail::str(context);
        record.parent_id = detail::str(parent_id);
        record.organization = detail::str(organization);
        record.caller = detail::str(caller);
        record.on_behalf_of = detail::str(on_behalf_of);
        record.traceparent = detail::str(traceparent);
        return record;
    }
};

/// A call by name: docs/calls.md lists the calls.
struct Call {
    /// The name, for example `agents.list`.
    std::string_view name{};
    /// The parameters: an object of JSON.
    std::optional<std::string_view> parameters{};
    /// The body.
    std::optional<std::string_view> body{};
    /// The version that has to be there, as the header If-Match has it.
    std::optional<std::string_view> if_match{};
    /// The key that makes a retry of an admitted check free.
    std::optional<std::string_view> idempotency_key{};
    /// The request's name in errors.
    std::optional<std::string_view> request_id{};
    /// W3C Trace Context.
    std::optional<std::string_view> traceparent{};

    /// The struct of C, which points to the same texts.
    te_call to_c() const noexcept {
        auto call = detail::sized<te_call>();
        call.name = detail::str(name);
        call.parameters = detail::str(parameters);
        call.body = detail::str(body);
        call.if_match = detail::str(if_match);
        call.idempotency_key = detail::str(idempotency_key);
        call.request_id = detail::str(request_id);
        call.traceparent = detail::str(traceparent);
        return call;
    }
};

/// Acknowledges a record: the record is durable, and this is its place in the log. Threads: one at a time.
class Receipt {
public:
    /// The id of the record.
    Uuid id() const noexcept { return Uuid(te_receipt_id(handle_.get())); }

    /// The index of the record in its shard of the log, from 0.
    std::uint64_t leaf_index() const noexcept { return te_receipt_leaf_index(handle_.get()); }

    /// The number of entries in the tree that the record was committed with.
    std::uint64_t tree_size() const noexcept { return te_receipt_tree_size(handle_.get()); }

    /// The time of the record.
    Time time() const noexcept { return detail::time(te_receipt_time(handle_.get())); }

    /// JSON: `{id, origin, leafIndex, treeSize, merkleRoot, signature, timestamp}`.
    std::string_view json() const noexcept { return detail::view(te_receipt_json(handle_.get())); }

private:
    friend struct detail::Make;
    explicit Receipt(detail::Handle<te_receipt> handle) noexcept : handle_(std::move(handle)) {}

    detail::Handle<te_receipt> handle_;
};

/// A gate's verdict. A verdict that was not written denies; so does one that a failed call was to write. Writing one verdict
/// again and again allocates nothing after the first time. Threads: one at a time.
class GateVerdict {
public:
    /// A verdict for calls to write; until then it denies.
    GateVerdict() = default;

    /// Whether the decision is TE_ALLOW.
    explicit operator bool() const noexcept { return allowed(); }

    /// Whether the decision is TE_ALLOW.
    bool allowed() const noexcept { return te_gate_verdict_allowed(handle_.get()); }

    /// The decision; TE_DENY where there is none.
    Decision decision() const noexcept { return te_gate_verdict_decision(handle_.get()); }

    /// The reason as a stable word, for example `TIER_SUFFICIENT`.
    std::string_view reason_code() const noexcept { return detail::view(te_gate_verdict_reason_code(handle_.get())); }

    /// The reason for people: one line.
    std::string_view reason() const noexcept { return detail::view(te_gate_verdict_reason(handle_.get())); }

    /// The trace: every layer, rule and condition, and what would have allowed it, in several lines.
    std::string_view trace() const noexcept { return detail::view(te_gate_verdict_trace(handle_.get())); }

    /// JSON: `{allowed, decision, reason, reasonCode, evaluatedAt, provenanceId, requiredTier?, escalationPath?, recorded}`.
    std::string_view json() const noexcept { return detail::view(te_gate_verdict_json(handle_.get())); }

    /// The tier that the role requires, if that is why it was denied.
    std::optional<std::string_view> required_tier() const noexcept {
        return detail::optional_view(te_gate_verdict_required_tier(handle_.get()));
    }

    /// The path by which a person approves, if the decision is TE_ESCALATE and the rule names one.
    std::optional<std::string_view> escalation_path() const noexcept {
        return detail::optional_view(te_gate_verdict_escalation_path(handle_.get()));
    }

    /// The id of the record; nothing can be found under the id of a verdict that is not recorded.
    Uuid id() const noexcept { return Uuid(te_gate_verdict_id(handle_.get())); }

    /// The time of the evaluation.
    Time time() const noexcept { return detail::time(te_gate_verdict_time(handle_.get())); }

    /// Whether the verdict was in the log when it was given.
    Recorded recorded() const noexcept { return te_gate_verdict_recorded(handle_.get()); }

    /// Waits for the commit of a verdict of `Engine::decide_gate`, once for each verdict; no receipt if the policy does not record
    /// it. Throws TE_INVALID_INPUT for another verdict, or the second time.
    std::optional<Receipt> committed() {
        return detail::Make::of_optional<Receipt>(detail::given<te_receipt>(
            [&](te_receipt **out, te_error *error) { return te_gate_verdict_committed(handle_.get(), out, error); }));
    }

private:
    friend class Engine;
    friend struct detail::Make;
    explicit GateVerdict(detail::Handle<te_gate_verdict> handle) noexcept : handle_(std::move(handle)) {}

    /// Has a call write this verdict. If it fails, the verdict is emptied, so that no earlier decision is taken for this one.
    template <class F>
    void write(F &&call) {
        if (!handle_) {
            handle_.reset(detail::given<te_gate_verdict>(te_gate_verdict_new));
        }
        te_error error;
        const Code code = detail::result(error, [&](te_error *place) { return call(handle_.get(), place); });
        if (code != TE_OK) {
            handle_.reset();
            throw Error(code, error);
        }
    }

    detail::Handle<te_gate_verdict> handle_;
};

/// How far a counter has come. All zeros where no counter was asked.
struct Usage {
    /// The amount that is used, this check included if it was admitted.
    std::uint64_t current_usage;
    /// The ceiling.
    std::uint64_t ceiling;
    /// The amount that is left.
    std::uint64_t remaining;
    /// The time at which the window ends.
    Time reset_at;
};

/// A ceiling's verdict. A verdict that was not written refuses; so does one that a failed call was to write. Writing one verdict
/// again and again allocates nothing after the first time. Threads: one at a time.
class CeilingVerdict {
public:
    /// A verdict for calls to write; until then it refuses.
    CeilingVerdict() = default;

    /// Whether the amounts may be used.
    explicit operator bool() const noexcept { return allowed(); }

    /// Whether the amounts may be used: all of them are charged then, and none otherwise.
    bool allowed() const noexcept { return te_ceiling_verdict_allowed(handle_.get()); }

    /// The reason as a stable word, for example `CEILING_EXCEEDED`.
    std::string_view reason_code() const noexcept { return detail::view(te_ceiling_verdict_reason_code(handle_.get())); }

    /// The reason for people: one line.
    std::string_view reason() const noexcept { return detail::view(te_ceiling_verdict_reason(handle_.get())); }

    /// JSON: `{allowed, currentUsage, ceiling, remaining, resetAt, …}`.
    std::string_view json() const noexcept { return detail::view(te_ceiling_verdict_json(handle_.get())); }

    /// How far the counter has come that refused, or the agent's own of the first resource.
    Usage usage() const noexcept {
        const te_usage usage = te_ceiling_verdict_usage(handle_.get());
        return {usage.current_usage, usage.ceiling, usage.remaining, detail::time(usage.reset_at)};
    }

    /// Whether any counter is at or above the policy's share of its ceiling.
    bool near_limit() const noexcept { return te_ceiling_verdict_near_limit(handle_.get()); }

    /// Whether the same check may be admitted soon, without a change by the caller.
    bool retryable() const noexcept { return te_ceiling_verdict_retryable(handle_.get()); }

    /// The time after which a rate will admit the check; 0 if no rate has refused it.
    std::chrono::duration<std::uint64_t, std::micro> retry_after() const noexcept {
        return std::chrono::duration<std::uint64_t, std::micro>(te_ceiling_verdict_retry_after(handle_.get()));
    }

    /// Whether this answers an earlier try with the same request id: nothing was charged now.
    bool repeated() const noexcept { return te_ceiling_verdict_repeated(handle_.get()); }

    /// The id of the record; nil if the policy does not record this verdict.
    Uuid id() const noexcept { return Uuid(te_ceiling_verdict_id(handle_.get())); }

    /// The time of the check.
    Time time() const noexcept { return detail::time(te_ceiling_verdict_time(handle_.get())); }

    /// Whether the verdict was in the log when it was given.
    Recorded recorded() const noexcept { return te_ceiling_verdict_recorded(handle_.get()); }

private:
    friend class Engine;
    friend class Quota;
    friend struct detail::Make;
    explicit CeilingVerdict(detail::Handle<te_ceiling_verdict> handle) noexcept : handle_(std::move(handle)) {}

    /// Has a call write this verdict. If it fails, the verdict is emptied, so that no earlier decision is taken for this one.
    template <class F>
    void write(F &&call) {
        if (!handle_) {
            handle_.reset(detail::given<te_ceiling_verdict>(te_ceiling_verdict_new));
        }
        te_error error;
        const Code code = detail::result(error, [&](te_error *place) { return call(handle_.get(), place); });
        if (code != TE_OK) {
            handle_.reset();
            throw Error(code, error);
        }
    }

    detail::Handle<te_ceiling_verdict> handle_;
};

/// The quota of one agent, for callers that check it often. It follows every change of the agent and of the policy, and keeps its
/// engine's store open. Threads: any number at once.
class Quota {
public:
    /// Checks an amount (1 to 2^40 - 1) at the agent's held tier, charges it and writes `verdict`, without waiting. Throws
    /// TE_WOULD_BLOCK if the counters have to be asked. A verdict for each thread.
    void try_take(std::string_view resource_type, std::uint64_t amount, CeilingVerdict &verdict) const {
        verdict.write([&](te_ceiling_verdict *out, te_error *error) {
            return te_quota_try_take(handle_.get(), detail::str(resource_type), amount, out, error);
        });
    }

    /// Does the same, and gives a new verdict.
    CeilingVerdict try_take(std::string_view resource_type, std::uint64_t amount) const {
        CeilingVerdict verdict;
        try_take(resource_type, amount, verdict);
        return verdict;
    }

private:
    friend struct detail::Make;
    explicit Quota(detail::Handle<te_quota> handle) noexcept : handle_(std::move(handle)) {}

    detail::Handle<te_quota> handle_;
};

/// Amounts that are charged and may turn out not to be needed. A reservation that is destroyed unsettled stays charged until its
/// window has gone by. It keeps its engine's store open. Threads: one at a time.
class Reservation {
public:
    /// Says how much was used of each resource, in the order of the request: the rest is free again, if its window is still
    /// running. No receipt if the policy does not record the reservation. If it throws, the reservation is as it was; TE_CONFLICT if
    /// it is settled already.
    std::optional<Receipt> commit(std::initializer_list<std::uint64_t> used) { return commit(used.begin(), used.size()); }

    /// Does the same with `count` numbers at `used`.
    std::optional<Receipt> commit(const std::uint64_t *used, std::size_t count) {
        return detail::Make::of_optional<Receipt>(detail::given<te_receipt>([&](te_receipt **out, te_error *error) {
            return te_reservation_commit(handle_.get(), used, count, out, error);
        }));
    }

    /// Says that nothing was used; otherwise as `commit`.
    std::optional<Receipt> void_() {
        return detail::Make::of_optional<Receipt>(detail::given<te_receipt>(
            [&](te_receipt **out, te_error *error) { return te_reservation_void(handle_.get(), out, error); }));
    }

private:
    friend struct detail::Make;
    explicit Reservation(detail::Handle<te_reservation> handle) noexcept : handle_(std::move(handle)) {}

    detail::Handle<te_reservation> handle_;
};

/// The caller of calls by name, as the host has authenticated it. Threads: any number at once.
class Caller {
public:
    /// Makes a caller of JSON: `{"name"?, "organization"?, "fleetWide"?, "internal"?, "permissions"?: [...]}`. Throws
    /// TE_INVALID_INPUT with the field.
    explicit Caller(std::string_view json)
        : handle_(detail::given<te_caller>([&](te_caller **out, te_error *error) {
              return te_caller_new(detail::str(json), out, error);
          })) {}

private:
    friend class Engine;

    /// The handle.
    const te_caller *get() const {
        if (!handle_) {
            throw Error(TE_INVALID_HANDLE, "the caller was moved from");
        }
        return handle_.get();
    }

    detail::Handle<te_caller> handle_;
};

/// The answer of a call by name. Threads: any number may read it; `value` by one at a time.
class Answer {
public:
    /// The status, as in HTTP: 200 and 201, or that of an error. A denial is a 200.
    std::uint16_t status() const noexcept { return te_answer_status(handle_.get()); }

    /// Whether the answer is no error.
    bool ok() const noexcept { return status() >= 200 && status() < 300; }

    /// The body: JSON, or another text by its content type. A body of an error leaves out details that concern only the operator.
    std::string_view body() const & noexcept { return detail::view(te_answer_body(handle_.get())); }

    /// Does the same for an answer that ends with the expression.
    std::string body() && { return std::string(detail::view(te_answer_body(handle_.get()))); }

    /// The body. Throws the engine's own error, with all details, if the answer is one.
    std::string_view value() const & {
        check();
        return body();
    }

    /// Does the same for an answer that ends with the expression.
    std::string value() && {
        check();
        return std::string(detail::view(te_answer_body(handle_.get())));
    }

    /// Throws the engine's own error, with all details, if the answer is one.
    void check() const {
        detail::must([&](te_error *error) { return te_answer_result(handle_.get(), error); });
        if (!ok()) {
            throw Error(TE_OTHER, std::string(body()).c_str());
        }
    }

    /// The content type of the body.
    std::string_view content_type() const noexcept { return detail::view(te_answer_content_type(handle_.get())); }

    /// The version of what the answer shows, quoted, as the header ETag has it.
    std::optional<std::string_view> etag() const noexcept {
        return detail::optional_view(te_answer_etag(handle_.get()));
    }

    /// Whether the answer can never change.
    bool immutable() const noexcept { return te_answer_immutable(handle_.get()); }

    /// The time after which to try again; 0 if the answer does not say.
    std::chrono::seconds retry_after() const noexcept {
        return std::chrono::seconds(te_answer_retry_after(handle_.get()));
    }

private:
    friend struct detail::Make;
    explicit Answer(detail::Handle<te_answer> handle) noexcept : handle_(std::move(handle)) {}

    detail::Handle<te_answer> handle_;
};

/// A stream of items, each a JSON text: `for (const std::string &item : subscription)`. Threads: one at a time asks for items; any
/// may `stop` it, also while one waits.
class Subscription {
public:
    /// Reads a subscription to its end. Copies of an iterator share the subscription, so only one of them goes on.
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = std::string;
        using difference_type = std::ptrdiff_t;
        using pointer = const std::string *;
        using reference = const std::string &;

        /// The end.
        iterator() = default;

        /// The item.
        reference operator*() const noexcept { return item_; }

        /// The item.
        pointer operator->() const noexcept { return &item_; }

        /// Waits for the next item. Throws as `next` does.
        iterator &operator++() {
            if (!of_->read(item_)) {
                of_ = nullptr;
            }
            return *this;
        }

        /// Does the same, and gives the iterator as it was.
        iterator operator++(int) {
            iterator before = *this;
            ++*this;
            return before;
        }

        friend bool operator==(const iterator &left, const iterator &right) noexcept { return left.of_ == right.of_; }
        friend bool operator!=(const iterator &left, const iterator &right) noexcept { return left.of_ != right.of_; }

    private:
        friend class Subscription;
        explicit iterator(Subscription *of) : of_(of) { ++*this; }

        Subscription *of_ = nullptr;
        std::string item_;
    };

    /// Waits for the next item; none at the end, and once the subscription was stopped. After an error that is retryable it can be
    /// asked again where it stood. A stream that follows the log throws TE_CLOSED once the engine is closed.
    std::optional<std::string> next() {
        std::string item;
        return read(item) ? std::optional<std::string>(std::move(item)) : std::nullopt;
    }

    /// Waits for the first item; a loop goes on where an earlier one stood.
    iterator begin() { return iterator(this); }

    /// The end of all items.
    iterator end() noexcept { return {}; }

    /// Ends the subscription: a `next` that waits gives no item, as do all later ones. Threads: any.
    void stop() const {
        detail::must([&](te_error *error) { return te_subscription_end(handle_.get(), error); });
    }

private:
    friend struct detail::Make;
    explicit Subscription(detail::Handle<te_subscription> handle) noexcept : handle_(std::move(handle)) {}

    /// Reads an item into a string, whose memory is used again; false at the end.
    bool read(std::string &item) {
        te_str text = {nullptr, 0};
        te_error error;
        const Code code = detail::result(
            error, [&](te_error *place) { return te_subscription_next(handle_.get(), &text, place); });
        if (code == TE_END) {
            return false;
        }
        if (code != TE_OK) {
            throw Error(code, error);
        }
        item.assign(text.ptr, text.len);
        return true;
    }

    detail::Handle<te_subscription> handle_;
};

/// The outcome of a call that was begun without waiting. A `take_…` function throws what the call failed with, and TE_CONFLICT for
/// an outcome of another kind, or one that was taken already. Threads: one at a time.
class Completion {
public:
    /// The pointer that the call was begun with; null for a call that was begun with a callback.
    void *user_data() const noexcept { return has_callback_ ? nullptr : te_completion_user_data(handle_.get()); }

    /// TE_OK, or the code that the call failed with.
    Code code() const noexcept { return te_completion_result(handle_.get(), nullptr); }

    /// Throws what the call failed with.
    void check() const {
        detail::must([&](te_error *error) { return te_completion_result(handle_.get(), error); });
    }

    /// Takes the verdict of `Engine::evaluate_gate_async`.
    GateVerdict take_gate_verdict() { return take<GateVerdict>(te_completion_take_gate_verdict); }

    /// Takes the verdict of `Engine::check_ceiling_async`.
    CeilingVerdict take_ceiling_verdict() { return take<CeilingVerdict>(te_completion_take_ceiling_verdict); }

    /// Takes the receipt of `Engine::record_async` and `Engine::committed_async`; none for a verdict that the policy does not record.
    std::optional<Receipt> take_receipt() {
        return detail::Make::of_optional<Receipt>(detail::given<te_receipt>(
            [&](te_receipt **out, te_error *error) { return te_completion_take_receipt(handle_.get(), out, error); }));
    }

    /// Takes the answer of `Engine::call_async`.
    Answer take_answer() { return take<Answer>(te_completion_take_answer); }

private:
    friend class Engine;
    friend struct detail::Make;
    explicit Completion(detail::Handle<te_completion> handle) noexcept : handle_(std::move(handle)) {}

    template <class Object, class T>
    Object take(te_code (*function)(te_completion *, T **, te_error *)) {
        return detail::Make::of<Object>(detail::given<T>(
            [&](T **out, te_error *error) { return function(handle_.get(), out, error); }));
    }

    detail::Handle<te_completion> handle_;
    bool has_callback_ = false;
};

/// A function that is given a completion, once, on a thread of the engine's.
using Callback = std::function<void(Completion)>;

/// An open engine. Threads: any number at once, for everything but moving and destroying it.
///
/// Functions whose names end with `_async` begin a call and do not wait. In one form they take a function for the completion:
///
/// - It is called on a thread of the engine's, one completion at a time, and must not wait for calls of the same engine.
/// - It must not throw: a function object has to be `noexcept`, which is checked when it is compiled. A `Callback`, of which that
///   cannot be checked, ends the program (std::terminate) if it throws.
/// - It is kept until it was called, and destroyed on that thread. If the call cannot be begun, it is destroyed before the
///   exception leaves, and not called.
///
/// In the other form they take a pointer for `Completion::user_data`, and `poll` gives the completion.
class Engine {
public:
    /// Opens an engine, and waits until it is open. `options` is JSON, which docs/c.md lists:
    /// `{"storage": {"memory": true} | {"embedded": folder} | {"postgres": url | {…}, "redis": url | {…}}, …}`.
    /// Throws TE_UNSUPPORTED if the library speaks another ABI than this header, TE_INVALID_INPUT with the field, and the errors of
    /// the store.
    static Engine open(std::string_view options) {
        if (te_abi_version() != TE_ABI_VERSION) {
            throw Error(TE_UNSUPPORTED, "the library of trust-engine speaks another ABI than the program was compiled for");
        }
        return Engine(detail::Handle<te_engine>(detail::given<te_engine>(
            [&](te_engine **out, te_error *error) { return te_engine_open(detail::str(options), out, error); })));
    }

    /// Commits what waits and closes; calls that would have to write throw TE_CLOSED afterwards. Waits until completions that were
    /// under way are delivered, and throws TE_IN_CALLBACK in a callback. The destructor closes too. The store is free for others
    /// when the engine and its quotas, reservations and subscriptions are destroyed.
    void close() {
        detail::must([&](te_error *error) { return te_engine_close(handle_.get(), error); });
    }

    /// Evaluates a gate without waiting, and writes `verdict`: its record is on its way into the log, and `GateVerdict::committed`
    /// waits for it. Throws TE_WOULD_BLOCK if the agent has to be fetched first; a later call succeeds.
    void decide_gate(const GateRequest &request, GateVerdict &verdict) const {
        const te_gate_request given = request.to_c();
        verdict.write([&](te_gate_verdict *out, te_error *error) {
            return te_engine_decide_gate(handle_.get(), &given, out, error);
        });
    }

    /// Does the same, and gives a new verdict.
    GateVerdict decide_gate(const GateRequest &request) const {
        GateVerdict verdict;
        decide_gate(request, verdict);
        return verdict;
    }

    /// Evaluates a gate, waits until the verdict is committed unless the policy says otherwise, and writes `verdict`.
    void evaluate_gate(const GateRequest &request, GateVerdict &verdict) const {
        const te_gate_request given = request.to_c();
        verdict.write([&](te_gate_verdict *out, te_error *error) {
            return te_engine_evaluate_gate(handle_.get(), &given, out, error);
        });
    }

    /// Does the same, and gives a new verdict.
    GateVerdict evaluate_gate(const GateRequest &request) const {
        GateVerdict verdict;
        evaluate_gate(request, verdict);
        return verdict;
    }

    /// Does the same as `evaluate_gate` without waiting: the function is given the completion.
    template <class F>
    std::enable_if_t<std::is_invocable_v<std::decay_t<F> &, Completion>> evaluate_gate_async(const GateRequest &request,
                                                                                            F &&function) const {
        begin(std::forward<F>(function), [&](te_callback callback, void *user_data, te_error *error) {
            const te_gate_request given = request.to_c();
            return te_engine_evaluate_gate_async(handle_.get(), &given, callback, user_data, error);
        });
    }

    /// Does the same: `poll` gives the completion, with `user_data`.
    void evaluate_gate_async(const GateRequest &request, void *user_data) const {
        const te_gate_request given = request.to_c();
        detail::must([&](te_error *error) {
            return te_engine_evaluate_gate_async(handle_.get(), &given, nullptr, user_data, error);
        });
    }

    /// Does the same as `GateVerdict::committed` without waiting: the function is given the completion, which has the receipt.
    template <class F>
    std::enable_if_t<std::is_invocable_v<std::decay_t<F> &, Completion>> committed_async(GateVerdict &verdict,
                                                                                        F &&function) const {
        begin(std::forward<F>(function), [&](te_callback callback, void *user_data, te_error *error) {
            return te_gate_verdict_committed_async(verdict.handle_.get(), handle_.get(), callback, user_data, error);
        });
    }

    /// Does the same: `poll` gives the completion, with `user_data`.
    void committed_async(GateVerdict &verdict, void *user_data) const {
        detail::must([&](te_error *error) {
            return te_gate_verdict_committed_async(verdict.handle_.get(), handle_.get(), nullptr, user_data, error);
        });
    }

    /// Checks and consumes, all of the amounts or nothing, and writes `verdict`; asks the counters where it must. If it throws,
    /// nothing is admitted.
    void check_ceiling(const CeilingRequest &request, CeilingVerdict &verdict) const {
        const te_ceiling_request given = request.to_c();
        verdict.write([&](te_ceiling_verdict *out, te_error *error) {
            return te_engine_check_ceiling(handle_.get(), &given, out, error);
        });
    }

    /// Does the same, and gives a new verdict.
    CeilingVerdict check_ceiling(const CeilingRequest &request) const {
        CeilingVerdict verdict;
        check_ceiling(request, verdict);
        return verdict;
    }

    /// Does the same as `check_ceiling` without waiting, with what the engine holds. Throws TE_WOULD_BLOCK if the counters have to be
    /// asked; nothing is admitted then.
    void check_ceiling_now(const CeilingRequest &request, CeilingVerdict &verdict) const {
        const te_ceiling_request given = request.to_c();
        verdict.write([&](te_ceiling_verdict *out, te_error *error) {
            return te_engine_check_ceiling_now(handle_.get(), &given, out, error);
        });
    }

    /// Does the same, and gives a new verdict.
    CeilingVerdict check_ceiling_now(const CeilingRequest &request) const {
        CeilingVerdict verdict;
        check_ceiling_now(request, verdict);
        return verdict;
    }

    /// Does the same as `check_ceiling` without waiting: the function is given the completion.
    template <class F>
    std::enable_if_t<std::is_invocable_v<std::decay_t<F> &, Completion>> check_ceiling_async(const CeilingRequest &request,
                                                                                            F &&function) const {
        begin(std::forward<F>(function), [&](te_callback callback, void *user_data, te_error *error) {
            const te_ceiling_request given = request.to_c();
            return te_engine_check_ceiling_async(handle_.get(), &given, callback, user_data, error);
        });
    }

    /// Does the same: `poll` gives the completion, with `user_data`.
    void check_ceiling_async(const CeilingRequest &request, void *user_data) const {
        const te_ceiling_request given = request.to_c();
        detail::must([&](te_error *error) {
            return te_engine_check_ceiling_async(handle_.get(), &given, nullptr, user_data, error);
        });
    }

    /// Charges amounts that are not certain yet, and writes `verdict`; no reservation if the check was refused. If it throws, nothing
    /// is charged.
    std::optional<Reservation> reserve(const CeilingRequest &request, CeilingVerdict &verdict) const {
        const te_ceiling_request given = request.to_c();
        te_reservation *reservation = nullptr;
        verdict.write([&](te_ceiling_verdict *out, te_error *error) {
            return te_engine_reserve(handle_.get(), &given, out, &reservation, error);
        });
        return detail::Make::of_optional<Reservation>(reservation);
    }

    /// A handle on the quota of an agent of an organization (`default` if it is not given). Throws TE_WOULD_BLOCK if the agent has to be
    /// fetched first; a later call succeeds.
    Quota quota(std::string_view agent_id, std::optional<std::string_view> organization = std::nullopt) const {
        return detail::Make::of<Quota>(detail::given<te_quota>([&](te_quota **out, te_error *error) {
            return te_engine_quota(handle_.get(), detail::str(agent_id), detail::str(organization), out, error);
        }));
    }

    /// Records something that the host decided, and waits until it is committed. Throws TE_CONFLICT if the id is taken by other content.
    Receipt record(const NewRecord &new_record) const {
        const te_new_record given = new_record.to_c();
        return detail::Make::of<Receipt>(detail::given<te_receipt>([&](te_receipt **out, te_error *error) {
            return te_engine_record(handle_.get(), &given, out, error);
        }));
    }

    /// Does the same without waiting: the function is given the completion.
    template <class F>
    std::enable_if_t<std::is_invocable_v<std::decay_t<F> &, Completion>> record_async(const NewRecord &new_record,
                                                                                     F &&function) const {
        begin(std::forward<F>(function), [&](te_callback callback, void *user_data, te_error *error) {
            const te_new_record given = new_record.to_c();
            return te_engine_record_async(handle_.get(), &given, callback, user_data, error);
        });
    }

    /// Does the same: `poll` gives the completion, with `user_data`.
    void record_async(const NewRecord &new_record, void *user_data) const {
        const te_new_record given = new_record.to_c();
        detail::must([&](te_error *error) {
            return te_engine_record_async(handle_.get(), &given, nullptr, user_data, error);
        });
    }

    /// Makes a call of the table in the name of the host itself, and waits for its answer. An answer that is an error is no exception:
    /// see `Answer::value`.
    Answer call(const Call &named) const { return call_as(te_caller_host(), named); }

    /// Makes a call of the table in the name of a caller.
    Answer call(const Caller &caller, const Call &named) const { return call_as(caller.get(), named); }

    /// Makes a call of the table in the name of the host itself. `parameters` is an object of JSON; no text is an empty one.
    Answer call(std::string_view name, std::string_view parameters = {}, std::string_view body = {}) const {
        return call_as(te_caller_host(), named(name, parameters, body));
    }

    /// Makes a call of the table in the name of a caller.
    Answer call(const Caller &caller, std::string_view name, std::string_view parameters = {},
                std::string_view body = {}) const {
        return call_as(caller.get(), named(name, parameters, body));
    }

    /// Makes a call in the name of the host itself without waiting: the function is given the completion.
    template <class F>
    std::enable_if_t<std::is_invocable_v<std::decay_t<F> &, Completion>> call_async(const Call &named, F &&function) const {
        call_async_as(te_caller_host(), named, std::forward<F>(function));
    }

    /// Makes a call in the name of a caller without waiting: the function is given the completion.
    template <class F>
    std::enable_if_t<std::is_invocable_v<std::decay_t<F> &, Completion>> call_async(const Caller &caller, const Call &named,
                                                                                   F &&function) const {
        call_async_as(caller.get(), named, std::forward<F>(function));
    }

    /// Makes a call in the name of the host itself without waiting: `poll` gives the completion, with `user_data`.
    void call_async(const Call &named, void *user_data) const { call_async_as(te_caller_host(), named, user_data); }

    /// Makes a call in the name of a caller without waiting: `poll` gives the completion, with `user_data`.
    void call_async(const Caller &caller, const Call &named, void *user_data) const {
        call_async_as(caller.get(), named, user_data);
    }

    /// Subscribes to a stream in the name of the host itself: `provenance.query` and `agents.list` give what the calls of these names
    /// list, and end; `provenance.follow` gives records that are committed from now on, and does not end. `parameters` is an object
    /// of JSON. The subscription keeps the engine's store open.
    Subscription subscribe(std::string_view name, std::string_view parameters = {}) const {
        return subscribe_as(te_caller_host(), name, parameters);
    }

    /// Subscribes to a stream in the name of a caller.
    Subscription subscribe(const Caller &caller, std::string_view name, std::string_view parameters = {}) const {
        return subscribe_as(caller.get(), name, parameters);
    }

    /// Takes up to `most` completions of calls that were begun without a function, oldest first. Never waits: see `event_fd`.
    std::vector<Completion> poll(std::size_t most = 256) const {
        std::vector<Completion> taken;
        std::array<te_completion *, 64> batch{};
        while (taken.size() < most) {
            const std::size_t left = most - taken.size();
            const std::size_t wanted = left < batch.size() ? left : batch.size();
            std::size_t count = 0;
            // The room is made first, so that no completion is lost for want of memory.
            taken.reserve(taken.size() + wanted);
            detail::must([&](te_error *error) {
                return te_engine_poll(handle_.get(), batch.data(), wanted, &count, error);
            });
            for (std::size_t at = 0; at < count; at++) {
                taken.push_back(detail::Make::of<Completion>(batch[at]));
            }
            if (count < wanted) {
                break;
            }
        }
        return taken;
    }

    /// A file descriptor (eventfd) that is readable while completions wait for `poll`. The engine owns it: watch it, but neither read nor
    /// close it. Throws TE_UNSUPPORTED where there is no eventfd.
    int event_fd() const {
        std::int32_t fd = -1;
        detail::must([&](te_error *error) { return te_engine_event_fd(handle_.get(), &fd, error); });
        return fd;
    }

    /// The handle of C, which the engine still owns; null for an engine that was moved from.
    te_engine *get() const noexcept { return handle_.get(); }

private:
    explicit Engine(detail::Handle<te_engine> handle) noexcept : handle_(std::move(handle)) {}

    /// The function that C calls: nothing leaves it by an exception.
    template <class F>
    static void deliver(void *user_data, te_completion *handle) noexcept {
        const std::unique_ptr<F> function(static_cast<F *>(user_data));
        Completion completion = detail::Make::of<Completion>(handle);
        completion.has_callback_ = true;
        (*function)(std::move(completion));
    }

    /// Begins a call with a function, which belongs to the call from the moment on that it has begun.
    template <class F, class Begin>
    static void begin(F &&function, Begin &&call) {
        using Function = std::decay_t<F>;
        static_assert(std::is_same_v<Function, Callback> || std::is_nothrow_invocable_v<Function &, Completion>,
                      "the function of a completion has to be noexcept: [](trust_engine::Completion done) noexcept { … }");
        if constexpr (std::is_same_v<Function, Callback>) {
            if (!function) {
                throw Error(TE_INVALID_INPUT, "callback is empty", "callback");
            }
        }
        auto owned = std::make_unique<Function>(std::forward<F>(function));
        detail::must([&](te_error *error) { return call(&deliver<Function>, owned.get(), error); });
        // The completion may have come already: the pointer is only forgotten here.
        static_cast<void>(owned.release());
    }

    static Call named(std::string_view name, std::string_view parameters, std::string_view body) noexcept {
        Call call;
        call.name = name;
        call.parameters = parameters;
        call.body = body;
        return call;
    }

    Answer call_as(const te_caller *caller, const Call &named) const {
        const te_call given = named.to_c();
        return detail::Make::of<Answer>(detail::given<te_answer>([&](te_answer **out, te_error *error) {
            return te_engine_call(handle_.get(), caller, &given, out, error);
        }));
    }

    template <class F>
    void call_async_as(const te_caller *caller, const Call &named, F &&function) const {
        const te_call given = named.to_c();
        begin(std::forward<F>(function), [&](te_callback callback, void *user_data, te_error *error) {
            return te_engine_call_async(handle_.get(), caller, &given, callback, user_data, error);
        });
    }

    void call_async_as(const te_caller *caller, const Call &named, void *user_data) const {
        const te_call given = named.to_c();
        detail::must([&](te_error *error) {
            return te_engine_call_async(handle_.get(), caller, &given, nullptr, user_data, error);
        });
    }

    Subscription subscribe_as(const te_caller *caller, std::string_view name, std::string_view parameters) const {
        return detail::Make::of<Subscription>(detail::given<te_subscription>(
            [&](te_subscription **out, te_error *error) {
                return te_engine_subscribe(handle_.get(), caller, detail::str(name), detail::str(parameters), out, error);
            }));
    }

    detail::Handle<te_engine> handle_;
};

/// The version of the library, for example `0.1.0`. The view is valid for ever. Threads: any.
inline std::string_view version() noexcept { return detail::view(te_version()); }

/// The table of calls as JSON. The view is valid for ever. Threads: any.
inline std::string_view call_table() noexcept { return detail::view(te_call_table()); }

/// Verification: no engine, no store, no network. All of them throw TE_NOT_VERIFIED. Threads: any.
namespace verify {

/// Verifies that a record is in the log of a key: `entry` is its exact bytes, `proof` a C2SP tlog-proof, `verifier_key` a C2SP verifier
/// key.
inline void record(std::string_view entry, std::string_view proof, std::string_view verifier_key) {
    detail::must([&](te_error *error) {
        return te_verify_record(detail::str(entry), detail::str(proof), detail::str(verifier_key), error);
    });
}

/// Verifies that a payload is the one that a record commits to: the exact bytes of both, and the 32 bytes of the salt, which the calls
/// give in hexadecimal.
inline void payload(std::string_view entry, std::string_view payload_bytes, std::string_view salt) {
    detail::must([&](te_error *error) {
        return te_verify_payload(detail::str(entry), detail::str(payload_bytes), detail::str(salt), error);
    });
}

/// Verifies that the log at the checkpoint `newer` begins with the log at the checkpoint `older`. Both are signed notes; `proof` is the
/// hashes of RFC 6962's consistency proof, one in base64 on each line.
inline void consistency(std::string_view older, std::string_view newer, std::string_view proof,
                        std::string_view verifier_key) {
    detail::must([&](te_error *error) {
        return te_verify_consistency(detail::str(older), detail::str(newer), detail::str(proof), detail::str(verifier_key),
                                     error);
    });
}

/// Verifies a log that was exported into a folder, from its first entry to its last, and that it goes on from the checkpoint `since`, a
/// signed note, if that is given.
inline void log(std::string_view folder, std::string_view verifier_key,
                std::optional<std::string_view> since = std::nullopt) {
    detail::must([&](te_error *error) {
        return te_verify_log(detail::str(folder), detail::str(verifier_key), detail::str(since), error);
    });
}

}  // namespace verify

}  // namespace trust_engine

#endif  // TRUST_ENGINE_HPP
