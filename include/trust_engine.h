// The C interface of trust-engine, an embedded trust engine for AI agents: role gates, capability ceilings, and a signed,
// provable record of every decision. docs/c.md tells how to use it.
//
// Written by cbindgen from ffi/src; do not edit.
//
// - Every function gives a te_code, or a value that is zero or null where it cannot be had.
// - What a function gives is written through its last pointers, and only if the result is TE_OK.
// - Handles are made by the library and freed by the function of their type; freeing null does nothing. A pointer that is
//   null, not aligned, or points to something else is refused (TE_INVALID_HANDLE), but a pointer to no memory, or to
//   memory that was freed, cannot be told from a good one.
// - "Threads" says who may call a function on the same handle at once.


#ifndef TRUST_ENGINE_H
#define TRUST_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The number of the ABI. It grows when a program that was compiled before would no longer work.
#define TE_ABI_VERSION 1

// The room for a field's name in `te_error`.
#define TE_FIELD_BYTES 64

// The room for a message in `te_error`.
#define TE_MESSAGE_BYTES 1024

// The room for a UUID as text, with the NUL at its end.
#define TE_UUID_BYTES 37

// The result of a call. A number is never used for anything else in a later version; there may be new ones.
typedef enum {
    // It is done.
    TE_OK = 0,
    // There is nothing more: the end of a subscription.
    TE_END = 1,
    // A value is outside its bounds; the error names the field.
    TE_INVALID_INPUT = 10,
    // The caller may not do this.
    TE_FORBIDDEN = 11,
    // The thing asked for does not exist, or not in this organization.
    TE_NOT_FOUND = 12,
    // The change was made against another version, or an id is taken by other content.
    TE_CONFLICT = 13,
    // The policy document has mistakes.
    TE_INVALID_POLICY = 14,
    // A proof, a signature or a payload is not what it says.
    TE_NOT_VERIFIED = 15,
    // A call that never waits would have had to wait. Try again.
    TE_WOULD_BLOCK = 20,
    // The queue of records is full. Try again.
    TE_OVERLOADED = 21,
    // The store cannot be reached or cannot write now. Try again.
    TE_UNAVAILABLE = 22,
    // The store's file system is full.
    TE_NO_SPACE = 23,
    // The store is open in another process, or in this one.
    TE_LOCKED = 24,
    // Another engine has taken over this shard.
    TE_FENCED = 25,
    // The engine was closed.
    TE_CLOSED = 30,
    // The folder holds something that is not a store.
    TE_FOREIGN = 31,
    // The store was written by a newer version, or the platform lacks what the call needs.
    TE_UNSUPPORTED = 32,
    // Stored data is damaged or contradicts its signed checkpoint.
    TE_CORRUPT = 33,
    // The operating system refuses access.
    TE_PERMISSION_DENIED = 34,
    // The signing key is missing, malformed, readable by others, or not the log's.
    TE_KEY = 35,
    // A kind of error that this version of the C ABI has no number for.
    TE_OTHER = 36,
    // A pointer that should be a handle is null, not aligned, of another kind, or was freed.
    TE_INVALID_HANDLE = 40,
    // The library has failed in a way that it must not; the handle takes no more calls. Please report it.
    TE_PANIC = 41,
    // An earlier call on this handle gave TE_PANIC.
    TE_POISONED = 42,
    // The process was forked after the engine was opened. Open an engine in the child.
    TE_FORKED = 43,
    // The call cannot be made from a callback.
    TE_IN_CALLBACK = 44,
} te_code;

// Whether a verdict is in the log.
typedef enum {
    // The policy does not record it.
    TE_NOT_RECORDED = 0,
    // It waits for its commit.
    TE_RECORD_PENDING = 1,
    // It is committed.
    TE_RECORD_COMMITTED = 2,
} te_recorded;

// A decision. A verdict that holds none is a denial.
typedef enum {
    // The agent may not.
    TE_DENY = 0,
    // The agent may.
    TE_ALLOW = 1,
    // A person has to approve first.
    TE_ESCALATE = 2,
} te_decision;

// The answer of a call by name. Threads: any number may read it.
typedef struct te_answer te_answer;

// The caller of calls by name, as the host has authenticated it. Threads: any number may use it at once.
typedef struct te_caller te_caller;

// A ceiling's verdict: memory that calls write their verdicts into, again and again. Texts that it gives are valid until it is
// written again or freed. Threads: one at a time.
typedef struct te_ceiling_verdict te_ceiling_verdict;

// What a call that was begun without waiting has come to. Threads: one at a time.
typedef struct te_completion te_completion;

// An open engine. Threads: any number may use it at once; `te_engine_free` by one, when nobody uses it any more.
typedef struct te_engine te_engine;

// A gate's verdict: memory that calls write their verdicts into, again and again. Texts that it gives are valid until it is
// written again or freed. Threads: one at a time.
typedef struct te_gate_verdict te_gate_verdict;

// The quota of one agent, for callers that check it often. It follows every change of the agent and of the policy, and keeps
// its engine's store open. Threads: any number may use it at once; `te_quota_free` by one, when nobody uses it any more.
typedef struct te_quota te_quota;

// Acknowledges a record: it is durable, and this is its place in the log. Threads: one at a time.
typedef struct te_receipt te_receipt;

// Amounts that are charged and may turn out not to be needed. Freed without `te_reservation_commit` or `te_reservation_void`, they
// stay charged until their window has gone by. It keeps its engine's store open. Threads: one at a time.
typedef struct te_reservation te_reservation;

// A stream of items. Threads: one at a time asks for items; any may end it, also while one waits.
typedef struct te_subscription te_subscription;

// Bytes and how many there are; they need not end with NUL, and are UTF-8 where they are text. A null pointer with
// length 0 is no text at all. The library reads them only during the call that they are passed to.
typedef struct {
    // The first byte.
    const char *ptr;
    // The number of bytes.
    size_t len;
} te_str;

// An error, in memory of the caller. Set `size` to `sizeof(te_error)` once, or begin with `TE_ERROR_INIT`; a call that
// fails writes the rest, and one that succeeds writes nothing. Every function takes a null pointer instead.
typedef struct {
    // `sizeof(te_error)`.
    size_t size;
    // The result.
    te_code code;
    // Whether the same call may succeed later without a change by the caller.
    bool retryable;
    // The offending field of TE_INVALID_INPUT, with a NUL at its end.
    char field[TE_FIELD_BYTES];
    // What is wrong and what would be right: UTF-8 with a NUL at its end, one line, or one for each mistake of a policy. A
    // longer text is cut.
    char message[TE_MESSAGE_BYTES];
} te_error;

// A call by name: `te_call_table` lists them. Begin with `TE_CALL_INIT`; what is not set is null.
typedef struct {
    // `sizeof(te_call)`.
    size_t size;
    // The name, for example `agents.list`.
    te_str name;
    // The parameters: an object of JSON.
    te_str parameters;
    // The body.
    te_str body;
    // The version that has to be there, as the header If-Match has it.
    te_str if_match;
    // The key that makes a retry of an admitted check free.
    te_str idempotency_key;
    // The request's name in errors.
    te_str request_id;
    // W3C Trace Context.
    te_str traceparent;
} te_call;

// A function that is given completions, one at a time, on a thread of the engine's. The completion is its to free. It must not
// wait for calls of the same engine, as no other completion is delivered meanwhile, nor leave by an exception or a jump.
typedef void (*te_callback)(void *user_data, te_completion *completion);

// An amount of one resource.
typedef struct {
    // The resource.
    te_str resource_type;
    // 1 to 2^40 - 1.
    uint64_t requested_amount;
} te_demand;

// A request for a ceiling check: may this agent use this much? Begin with `TE_CEILING_REQUEST_INIT`; texts that are not set are
// null.
typedef struct {
    // `sizeof(te_ceiling_request)`.
    size_t size;
    // The agent.
    te_str agent_id;
    // 1 to 16 demands, each for another resource: all are admitted, or none.
    const te_demand *demands;
    // The number of demands.
    size_t demand_count;
    // The tier that the caller says the agent holds: a claim.
    te_str tier;
    // The organization; `default` if it is not set.
    te_str organization;
    // The caller that asks; the host vouches for it.
    te_str caller;
    // The person or service on whose behalf the agent acts.
    te_str on_behalf_of;
    // W3C Trace Context.
    te_str traceparent;
    // Makes a retry of an admitted check free, in every engine of a fleet, for 24 hours.
    te_str request_id;
} te_ceiling_request;

// How far the counter has come that refused, or the agent's own of the first resource. All zeros where no counter was asked.
typedef struct {
    // The amount that is used, this check included if it was admitted.
    uint64_t current_usage;
    // The ceiling.
    uint64_t ceiling;
    // The amount that is left.
    uint64_t remaining;
    // The time at which the window ends, in microseconds since 1970-01-01T00:00:00Z.
    int64_t reset_at;
} te_usage;

// A UUID: its 16 bytes in the order in which they are written.
typedef struct {
    // The bytes.
    uint8_t bytes[16];
} te_uuid;

// A request to a role gate: may this agent take this role here? Begin with `TE_GATE_REQUEST_INIT`; texts that are not set are
// null.
typedef struct {
    // `sizeof(te_gate_request)`.
    size_t size;
    // The agent.
    te_str agent_id;
    // The role that it wants to take.
    te_str role;
    // The tier that the caller says the agent holds: a claim.
    te_str tier;
    // The organization; `default` if it is not set.
    te_str organization;
    // The caller that asks; the host vouches for it.
    te_str caller;
    // The person or service on whose behalf the agent acts.
    te_str on_behalf_of;
    // W3C Trace Context.
    te_str traceparent;
    // The resource that the role is to be used on.
    te_str resource_id;
    // The action that is to be done.
    te_str action;
    // The environment.
    te_str environment;
    // Other data worth recording: an object of JSON.
    te_str metadata;
} te_gate_request;

// A record that the host writes itself. Begin with `TE_NEW_RECORD_INIT`; texts that are not set are null.
typedef struct {
    // `sizeof(te_new_record)`.
    size_t size;
    // `ROLE_GATE`, `CEILING`, `ESCALATION` or `ALERT`.
    te_str kind;
    // The agent that it is about.
    te_str agent_id;
    // One of the engine's decisions, or a word of the host's own: a letter, then at most 63 letters, digits or `_.:-`.
    te_str decision;
    // An id of the caller's own, a UUID: a retry with the same content returns the same receipt.
    te_str id;
    // The reason as a stable word.
    te_str reason_code;
    // The reason for people.
    te_str reason;
    // Anything else that is to be kept: an object of JSON.
    te_str context;
    // The record of the same organization that this one follows from, a UUID.
    te_str parent_id;
    // The organization; `default` if it is not set.
    te_str organization;
    // The caller that records; the host vouches for it.
    te_str caller;
    // The person or service on whose behalf the agent acts.
    te_str on_behalf_of;
    // W3C Trace Context.
    te_str traceparent;
} te_new_record;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The number of the ABI that the library speaks; compare it with `TE_ABI_VERSION`, which the program was compiled with.
// Threads: any.
uint32_t te_abi_version(void);

// The version of the library, for example `0.1.0`. Threads: any.
te_str te_version(void);

// The status, as in HTTP: 200 and 201, or that of an error. A denial is a 200. Threads: any.
//
// The caller sees to it:
// `answer` is an answer.
uint16_t te_answer_status(const te_answer *answer);

// The body: JSON, or another text by its content type; valid until the answer is freed. Threads: any.
//
// The caller sees to it:
// `answer` is an answer.
te_str te_answer_body(const te_answer *answer);

// The content type of the body; valid until the answer is freed. Threads: any.
//
// The caller sees to it:
// `answer` is an answer.
te_str te_answer_content_type(const te_answer *answer);

// The version of what the answer shows, quoted, as the header ETag has it; null if it has none. Threads: any.
//
// The caller sees to it:
// `answer` is an answer.
te_str te_answer_etag(const te_answer *answer);

// Whether the answer can never change. Threads: any.
//
// The caller sees to it:
// `answer` is an answer.
bool te_answer_immutable(const te_answer *answer);

// The seconds after which to try again; 0 if the answer does not say. Threads: any.
//
// The caller sees to it:
// `answer` is an answer.
uint32_t te_answer_retry_after(const te_answer *answer);

// TE_OK, or the engine's own error that the answer is about, which `error` is told: the body leaves out details that concern
// only the operator. Threads: any.
//
// The caller sees to it:
// `answer` is an answer, `error` null or a `te_error`.
te_code te_answer_result(const te_answer *answer,
                         te_error *error);

// Lets go of an answer; null is nothing. Threads: one.
//
// The caller sees to it:
// `answer` is null or an answer that nobody uses any more.
void te_answer_free(te_answer *answer);

// Makes a caller of JSON: `{"name"?, "organization"?, "fleetWide"?, "internal"?, "permissions"?: [...]}`; the caller frees it.
// Threads: any.
//
// The caller sees to it:
// `json` can be read, `out` is writable, `error` null or a `te_error`.
te_code te_caller_new(te_str json,
                      te_caller **out,
                      te_error *error);

// Lets go of a caller; null is nothing, and so is `te_caller_host`. Threads: one.
//
// The caller sees to it:
// `caller` is null or a caller that nobody uses any more.
void te_caller_free(te_caller *caller);

// The host itself, in the organization `default`: it has every permission. A null caller is refused, so that one that could not be
// made has none. Valid for ever, and not to be freed. Threads: any.
const te_caller *te_caller_host(void);

// Makes a call of the table, and waits for its answer. TE_OK also for an answer that is an error of the contract: see
// `te_answer_status` and `te_answer_result`. The answer is the caller's to free. Threads: any.
//
// The caller sees to it:
// `engine` is an engine, `caller` is a caller, `call` a call, `out` is writable, `error` null or a `te_error`.
te_code te_engine_call(const te_engine *engine,
                       const te_caller *caller,
                       const te_call *call,
                       te_answer **out,
                       te_error *error);

// Does the same without waiting: `callback` is given the completion, or `te_engine_poll` if it is null. Searches of an embedded
// store run two at a time, on threads of their own. If this fails, there is no completion. Threads: any.
//
// The caller sees to it:
// `engine` is an engine, `caller` is a caller, `call` a call, `error` null or a `te_error`; `callback` may be called with
// `user_data` on another thread.
te_code te_engine_call_async(const te_engine *engine,
                             const te_caller *caller,
                             const te_call *call,
                             te_callback callback,
                             void *user_data,
                             te_error *error);

// The table of calls as JSON; valid for ever. Threads: any.
te_str te_call_table(void);

// Makes an empty verdict for calls to write into. Threads: any.
//
// The caller sees to it:
// `out` is writable, `error` null or a `te_error`.
te_code te_ceiling_verdict_new(te_ceiling_verdict **out, te_error *error);

// Checks and consumes, all of the amounts or nothing; asks the counters where it must. If it fails, nothing is admitted, and
// `verdict` is empty, which allows nothing. Threads: any, with a verdict each.
//
// The caller sees to it:
// `engine` is an engine, `request` a request, `verdict` a verdict, `error` null or a `te_error`.
te_code te_engine_check_ceiling(const te_engine *engine,
                                const te_ceiling_request *request,
                                te_ceiling_verdict *verdict,
                                te_error *error);

// Checks and consumes without waiting, with what the engine holds. TE_WOULD_BLOCK if the counters have to be asked. If it fails,
// nothing is admitted, and `verdict` is empty, which allows nothing. Threads: any, with a verdict each.
//
// The caller sees to it:
// That of `te_engine_check_ceiling`.
te_code te_engine_check_ceiling_now(const te_engine *engine,
                                    const te_ceiling_request *request,
                                    te_ceiling_verdict *verdict,
                                    te_error *error);

// Does the same as `te_engine_check_ceiling` without waiting: `callback` is given the completion, or `te_engine_poll` if it is
// null. If this fails, there is no completion. Threads: any.
//
// The caller sees to it:
// `engine` is an engine, `request` a request, `error` null or a `te_error`; `callback` may be called with `user_data` on
// another thread.
te_code te_engine_check_ceiling_async(const te_engine *engine,
                                      const te_ceiling_request *request,
                                      te_callback callback,
                                      void *user_data,
                                      te_error *error);

// Whether the amounts may be used: all of them are charged then, and none otherwise. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
bool te_ceiling_verdict_allowed(const te_ceiling_verdict *verdict);

// The reason as a stable word, for example `CEILING_EXCEEDED`. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_str te_ceiling_verdict_reason_code(const te_ceiling_verdict *verdict);

// The reason for people: one line. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_str te_ceiling_verdict_reason(const te_ceiling_verdict *verdict);

// The verdict as the contract's JSON: `{allowed, currentUsage, ceiling, remaining, resetAt, …}`. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_str te_ceiling_verdict_json(const te_ceiling_verdict *verdict);

// How far the counter has come that refused, or the agent's own of the first resource. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_usage te_ceiling_verdict_usage(const te_ceiling_verdict *verdict);

// Whether any counter is at or above the policy's share of its ceiling. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
bool te_ceiling_verdict_near_limit(const te_ceiling_verdict *verdict);

// Whether the same check may be admitted soon, without a change by the caller. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
bool te_ceiling_verdict_retryable(const te_ceiling_verdict *verdict);

// The microseconds after which a rate will admit the check; 0 if no rate has refused it. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
uint64_t te_ceiling_verdict_retry_after(const te_ceiling_verdict *verdict);

// Whether this answers an earlier try with the same request id: nothing was charged now. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
bool te_ceiling_verdict_repeated(const te_ceiling_verdict *verdict);

// The id of the record; zeros if the policy does not record this verdict. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_uuid te_ceiling_verdict_id(const te_ceiling_verdict *verdict);

// The time of the check in microseconds since 1970-01-01T00:00:00Z. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
int64_t te_ceiling_verdict_time(const te_ceiling_verdict *verdict);

// Whether the verdict was in the log when it was given. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_recorded te_ceiling_verdict_recorded(const te_ceiling_verdict *verdict);

// Lets go of a verdict; null is nothing. Threads: one.
//
// The caller sees to it:
// `verdict` is null or a verdict that nobody uses any more.
void te_ceiling_verdict_free(te_ceiling_verdict *verdict);

// The pointer that the call was begun with. Threads: any.
//
// The caller sees to it:
// `completion` is a completion.
void *te_completion_user_data(const te_completion *completion);

// TE_OK, or what the call failed with, which `error` is told. Threads: one.
//
// The caller sees to it:
// `completion` is a completion, `error` null or a `te_error`.
te_code te_completion_result(te_completion *completion, te_error *error);

// Takes the verdict of `te_engine_evaluate_gate_async`; the caller frees it. What the call failed with is given as by
// `te_completion_result`. Threads: one.
//
// The caller sees to it:
// `completion` is a completion, `out` is writable, `error` null or a `te_error`.
te_code te_completion_take_gate_verdict(te_completion *completion,
                                        te_gate_verdict **out,
                                        te_error *error);

// Takes the verdict of `te_engine_check_ceiling_async`; the caller frees it. Threads: one.
//
// The caller sees to it:
// That of `te_completion_take_gate_verdict`.
te_code te_completion_take_ceiling_verdict(te_completion *completion,
                                           te_ceiling_verdict **out,
                                           te_error *error);

// Takes the receipt of `te_engine_record_async` and `te_gate_verdict_committed_async`; the caller frees it. It is null for a
// verdict that the policy does not record. Threads: one.
//
// The caller sees to it:
// That of `te_completion_take_gate_verdict`.
te_code te_completion_take_receipt(te_completion *completion,
                                   te_receipt **out,
                                   te_error *error);

// Takes the answer of `te_engine_call_async`; the caller frees it. Threads: one.
//
// The caller sees to it:
// That of `te_completion_take_gate_verdict`.
te_code te_completion_take_answer(te_completion *completion, te_answer **out, te_error *error);

// Lets go of a completion; null is nothing. Threads: one.
//
// The caller sees to it:
// `completion` is null or a completion that nobody uses any more.
void te_completion_free(te_completion *completion);

// Opens an engine, and waits until it is open. `options` is JSON:
// `{"storage": {"memory": true} | {"embedded": folder} | {"postgres": url | {…}, "redis": url | {…}}, …}`, as docs/c.md lists
// it. Threads: any.
//
// The caller sees to it:
// `options` is readable, `out` writable, `error` null or a `te_error`.
te_code te_engine_open(te_str options,
                       te_engine **out,
                       te_error *error);

// Commits what waits and closes; calls afterwards give TE_CLOSED, and completions that wait can still be polled. Waits until
// those under way are delivered, so it is refused from a callback (TE_IN_CALLBACK). The store is free for others when the
// engine and its quotas, reservations and subscriptions are freed. Threads: any.
//
// The caller sees to it:
// `engine` is an engine, `error` null or a `te_error`.
te_code te_engine_close(te_engine *engine,
                        te_error *error);

// Closes an engine if that was not done, and lets go of it; null is nothing. Completions that nobody polled are dropped. From a
// callback the completions that are still to come are delivered afterwards. Threads: one, when nobody uses the engine any
// more.
//
// The caller sees to it:
// `engine` is null or an engine that nobody uses any more.
void te_engine_free(te_engine *engine);

// Takes up to `most` completions of calls that were begun without a callback, oldest first. `count` says how many; each is
// the caller's to free. Never waits: see `te_engine_event_fd`. Threads: any.
//
// The caller sees to it:
// `engine` is an engine, `out` has room for `most` pointers, `count` is writable, `error` null or a `te_error`.
te_code te_engine_poll(const te_engine *engine,
                       te_completion **out,
                       size_t most,
                       size_t *count,
                       te_error *error);

// A file descriptor (eventfd) that is readable while completions wait for `te_engine_poll`. The engine owns it: watch it, but
// neither read nor close it. TE_UNSUPPORTED where there is no eventfd. Threads: any.
//
// The caller sees to it:
// `engine` is an engine, `fd` is writable, `error` null or a `te_error`.
te_code te_engine_event_fd(const te_engine *engine,
                           int32_t *fd,
                           te_error *error);

#if defined(TE_TEST_PANIC)
// Panics behind the boundary, so that tests can see that nothing of it comes through.
//
// The caller sees to it:
// `engine` is an engine, `error` null or a `te_error`.
te_code te_test_panic(const te_engine *engine, te_error *error);
#endif

// The name of a result, `TE_INVALID_INPUT`…; `TE_UNKNOWN` for a number that is none. Threads: any.
te_str te_code_name(int32_t code);

// Makes an empty verdict for calls to write into. Threads: any.
//
// The caller sees to it:
// `out` is writable, `error` null or a `te_error`.
te_code te_gate_verdict_new(te_gate_verdict **out, te_error *error);

// Evaluates a gate without waiting: the verdict's record is on its way into the log, and `te_gate_verdict_committed` waits for
// it. TE_WOULD_BLOCK if the agent has to be fetched first; a later call succeeds. If it fails, there is no verdict, and `verdict`
// is empty, which allows nothing. Threads: any, with a verdict each.
//
// The caller sees to it:
// `engine` is an engine, `request` a request, `verdict` a verdict, `error` null or a `te_error`.
te_code te_engine_decide_gate(const te_engine *engine,
                              const te_gate_request *request,
                              te_gate_verdict *verdict,
                              te_error *error);

// Evaluates a gate and, unless the policy says otherwise, waits until the verdict is committed. If it fails, there is no verdict,
// and `verdict` is empty, which allows nothing. Threads: any, with a verdict each.
//
// The caller sees to it:
// That of `te_engine_decide_gate`.
te_code te_engine_evaluate_gate(const te_engine *engine,
                                const te_gate_request *request,
                                te_gate_verdict *verdict,
                                te_error *error);

// Does the same without waiting: `callback` is given the completion, or `te_engine_poll` if it is null. If this fails, there is no
// completion. Threads: any.
//
// The caller sees to it:
// `engine` is an engine, `request` a request, `error` null or a `te_error`; `callback` may be called with `user_data` on
// another thread.
te_code te_engine_evaluate_gate_async(const te_engine *engine,
                                      const te_gate_request *request,
                                      te_callback callback,
                                      void *user_data,
                                      te_error *error);

// The decision; TE_DENY where there is none. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_decision te_gate_verdict_decision(const te_gate_verdict *verdict);

// Whether the decision is TE_ALLOW. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
bool te_gate_verdict_allowed(const te_gate_verdict *verdict);

// The reason as a stable word, for example `TIER_SUFFICIENT`. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_str te_gate_verdict_reason_code(const te_gate_verdict *verdict);

// The reason for people: one line. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_str te_gate_verdict_reason(const te_gate_verdict *verdict);

// The trace: every layer, rule and condition, and what would have allowed it, in several lines. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_str te_gate_verdict_trace(const te_gate_verdict *verdict);

// The verdict as the contract's JSON: `{allowed, decision, reason, reasonCode, …}`. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_str te_gate_verdict_json(const te_gate_verdict *verdict);

// The tier that the role requires, if that is why it was denied; null otherwise. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_str te_gate_verdict_required_tier(const te_gate_verdict *verdict);

// The path by which a person approves, if the decision is TE_ESCALATE and the rule names one; null otherwise. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_str te_gate_verdict_escalation_path(const te_gate_verdict *verdict);

// The id of the record; of a verdict that is not recorded nothing can be found under it. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_uuid te_gate_verdict_id(const te_gate_verdict *verdict);

// The time of the evaluation in microseconds since 1970-01-01T00:00:00Z. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
int64_t te_gate_verdict_time(const te_gate_verdict *verdict);

// Whether the verdict was in the log when it was given. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict.
te_recorded te_gate_verdict_recorded(const te_gate_verdict *verdict);

// Waits for the commit of a verdict that `te_engine_decide_gate` gave, once for each verdict, also if it fails. The receipt is the caller's to free;
// it is null if the policy does not record the verdict, and also TE_OK then. Threads: one.
//
// The caller sees to it:
// `verdict` is a verdict, `out` is writable, `error` null or a `te_error`.
te_code te_gate_verdict_committed(te_gate_verdict *verdict,
                                  te_receipt **out,
                                  te_error *error);

// Does the same without waiting: the completion of `engine` has the receipt. Threads: one.
//
// The caller sees to it:
// That of `te_engine_evaluate_gate_async`, and `verdict` is a verdict.
te_code te_gate_verdict_committed_async(te_gate_verdict *verdict,
                                        const te_engine *engine,
                                        te_callback callback,
                                        void *user_data,
                                        te_error *error);

// Lets go of a verdict; null is nothing. Its record is committed all the same. Threads: one.
//
// The caller sees to it:
// `verdict` is null or a verdict that nobody uses any more.
void te_gate_verdict_free(te_gate_verdict *verdict);

// Writes a UUID as text, for example `0198c5a2-…`, and a NUL. Threads: any.
//
// The caller sees to it:
// `out` is null or has room for TE_UUID_BYTES bytes.
te_code te_uuid_format(te_uuid id, char *out);

// A handle on the quota of an agent of an organization (null: `default`); the caller frees it. TE_WOULD_BLOCK if the agent has to
// be fetched first; a later call succeeds. Threads: any.
//
// The caller sees to it:
// `engine` is an engine, the texts can be read, `out` is writable, `error` null or a `te_error`.
te_code te_engine_quota(const te_engine *engine,
                        te_str agent_id,
                        te_str organization,
                        te_quota **out,
                        te_error *error);

// Checks an amount (1 to 2^40 - 1) at the agent's held tier and charges it, without waiting. If it fails, nothing is admitted, and
// `verdict` is empty, which allows nothing. Threads: any, with a verdict each.
//
// The caller sees to it:
// `quota` is a quota, `resource_type` can be read, `verdict` is a verdict, `error` null or a `te_error`.
te_code te_quota_try_take(const te_quota *quota,
                          te_str resource_type,
                          uint64_t amount,
                          te_ceiling_verdict *verdict,
                          te_error *error);

// Lets go of a quota; null is nothing. Threads: one.
//
// The caller sees to it:
// `quota` is null or a quota that nobody uses any more.
void te_quota_free(te_quota *quota);

// The id of the record; zeros for what is no receipt. Threads: any.
//
// The caller sees to it:
// `receipt` is a receipt.
te_uuid te_receipt_id(const te_receipt *receipt);

// The index of the record in its shard of the log. Threads: any.
//
// The caller sees to it:
// `receipt` is a receipt.
uint64_t te_receipt_leaf_index(const te_receipt *receipt);

// The size of the tree that the record was committed with. Threads: any.
//
// The caller sees to it:
// `receipt` is a receipt.
uint64_t te_receipt_tree_size(const te_receipt *receipt);

// The time of the record in microseconds since 1970-01-01T00:00:00Z. Threads: any.
//
// The caller sees to it:
// `receipt` is a receipt.
int64_t te_receipt_time(const te_receipt *receipt);

// The receipt as JSON: `{id, origin, leafIndex, treeSize, merkleRoot, signature, timestamp}`; valid until the receipt is freed.
// Threads: one.
//
// The caller sees to it:
// `receipt` is a receipt.
te_str te_receipt_json(const te_receipt *receipt);

// Lets go of a receipt; null is nothing. Threads: one.
//
// The caller sees to it:
// `receipt` is null or a receipt that nobody uses any more.
void te_receipt_free(te_receipt *receipt);

// Records something that the host decided, and waits until it is committed. The receipt is the caller's to free. Threads: any.
//
// The caller sees to it:
// `engine` is an engine, `record` a record, `out` is writable, `error` null or a `te_error`.
te_code te_engine_record(const te_engine *engine,
                         const te_new_record *record,
                         te_receipt **out,
                         te_error *error);

// Does the same without waiting: `callback` is given the completion, or `te_engine_poll` if it is null. If this fails, there is no
// completion. Threads: any.
//
// The caller sees to it:
// `engine` is an engine, `record` a record, `error` null or a `te_error`; `callback` may be called with `user_data` on
// another thread.
te_code te_engine_record_async(const te_engine *engine,
                               const te_new_record *record,
                               te_callback callback,
                               void *user_data,
                               te_error *error);

// Charges amounts that are not certain yet. If the check was refused, `out` is written null; otherwise the reservation is the
// caller's to free. Takes no request id. If it fails, nothing is charged, `verdict` is empty and `out` as it was. Threads: any,
// with a verdict each.
//
// The caller sees to it:
// `engine` is an engine, `request` a request, `verdict` a verdict, `out` is writable, `error` null or a `te_error`.
te_code te_engine_reserve(const te_engine *engine,
                          const te_ceiling_request *request,
                          te_ceiling_verdict *verdict,
                          te_reservation **out,
                          te_error *error);

// Says how much was used of each resource, in the order of the request: the rest is free again, if its window is still running.
// `receipt` may be null; it is written null if the policy does not record the reservation. If it fails, the reservation is as it
// was; TE_CONFLICT if it is settled already. Threads: one.
//
// The caller sees to it:
// `reservation` is a reservation, `used` has `count` numbers, `receipt` is null or writable, `error` null or a `te_error`.
te_code te_reservation_commit(te_reservation *reservation,
                              const uint64_t *used,
                              size_t count,
                              te_receipt **receipt,
                              te_error *error);

// Says that nothing was used; otherwise as `te_reservation_commit`. Threads: one.
//
// The caller sees to it:
// `reservation` is a reservation, `receipt` is null or writable, `error` null or a `te_error`.
te_code te_reservation_void(te_reservation *reservation, te_receipt **receipt, te_error *error);

// Lets go of a reservation; null is nothing. Threads: one.
//
// The caller sees to it:
// `reservation` is null or a reservation that nobody uses any more.
void te_reservation_free(te_reservation *reservation);

// Subscribes to a stream: `provenance.query` and `agents.list` give what the calls of these names list, item by item, and end;
// `provenance.follow` gives records that are committed from now on, and does not end. `parameters` is an object of JSON or null.
// The subscription is the caller's to free, and keeps the engine's store open. Threads: any.
//
// The caller sees to it:
// `engine` is an engine, `caller` is a caller, the texts can be read, `out` is writable, `error` null or a `te_error`.
te_code te_engine_subscribe(const te_engine *engine,
                            const te_caller *caller,
                            te_str name,
                            te_str parameters,
                            te_subscription **out,
                            te_error *error);

// Waits for the next item, which is JSON and valid until the next call. TE_END at the end, and once the subscription is ended.
// After an error that is retryable it can be asked again where it stood. Threads: one.
//
// The caller sees to it:
// `subscription` is a subscription, `item` is writable, `error` null or a `te_error`.
te_code te_subscription_next(te_subscription *subscription,
                             te_str *item,
                             te_error *error);

// Ends a subscription: a call that waits is given TE_END, as are all later ones. Threads: any.
//
// The caller sees to it:
// `subscription` is a subscription, `error` null or a `te_error`.
te_code te_subscription_end(te_subscription *subscription, te_error *error);

// Lets go of a subscription; null is nothing. Threads: one, when nobody uses it any more.
//
// The caller sees to it:
// `subscription` is null or a subscription that nobody uses any more.
void te_subscription_free(te_subscription *subscription);

// Verifies that a record is in the log of a key: `entry` is its exact bytes, `proof` a C2SP tlog-proof, `verifier_key` a C2SP
// verifier key. TE_NOT_VERIFIED if it is not. Threads: any.
//
// The caller sees to it:
// The texts can be read, `error` is null or a `te_error`.
te_code te_verify_record(te_str entry,
                         te_str proof,
                         te_str verifier_key,
                         te_error *error);

// Verifies that a payload is the one that a record commits to: the exact bytes of both, and the salt as its 32 bytes or
// as 64 hexadecimal digits. TE_NOT_VERIFIED if it is not. Threads: any.
//
// The caller sees to it:
// The texts can be read, `error` is null or a `te_error`.
te_code te_verify_payload(te_str entry,
                          te_str payload,
                          te_str salt,
                          te_error *error);

// Verifies that the log at the checkpoint `newer` begins with the log at the checkpoint `older`: nothing was changed or removed in
// between. Both are signed notes as text; `proof` is the hashes of RFC 6962's consistency proof, one in base64 on each line.
// TE_NOT_VERIFIED if it does not. Threads: any.
//
// The caller sees to it:
// The texts can be read, `error` is null or a `te_error`.
te_code te_verify_consistency(te_str older,
                              te_str newer,
                              te_str proof,
                              te_str verifier_key,
                              te_error *error);

// Verifies a log that was exported into a folder, from its first entry to its last, and that it goes on from the checkpoint `since`,
// if that is given (a signed note as text). TE_NOT_VERIFIED with the first thing that is wrong. Threads: any.
//
// The caller sees to it:
// The texts can be read, `error` is null or a `te_error`.
te_code te_verify_log(te_str folder,
                      te_str verifier_key,
                      te_str since,
                      te_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus


// A text of C as a te_str: TE_STR("agent_001") for a literal, te_str_of(pointer) for one that ends with NUL.
#ifdef __cplusplus
#define TE_STR(literal) (te_str{"" literal, sizeof(literal) - 1})
#else
#define TE_STR(literal) ((te_str){"" literal, sizeof(literal) - 1})
#endif

static inline te_str te_str_of(const char *text) {
    te_str str = {text, 0};
    if (text != NULL) {
        while (text[str.len] != 0) {
            str.len++;
        }
    }
    return str;
}

// The beginnings of structs that the caller fills: everything that is not set is zero.
#ifdef __cplusplus
#define TE_INIT_(type) ([] { type te_value_ = type(); te_value_.size = sizeof(type); return te_value_; }())
#else
#define TE_INIT_(type) ((type){.size = sizeof(type)})
#endif
#define TE_ERROR_INIT TE_INIT_(te_error)
#define TE_GATE_REQUEST_INIT TE_INIT_(te_gate_request)
#define TE_CEILING_REQUEST_INIT TE_INIT_(te_ceiling_request)
#define TE_NEW_RECORD_INIT TE_INIT_(te_new_record)
#define TE_CALL_INIT TE_INIT_(te_call)

#endif  /* TRUST_ENGINE_H */
