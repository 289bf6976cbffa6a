/* The boundary: everything that C can get wrong and that can be seen is refused, and nothing is written then. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

static const te_str NOTHING = {NULL, 0};

static te_gate_request gate(void) {
    te_gate_request request = TE_GATE_REQUEST_INIT;
    request.agent_id = TE_STR("agent_001");
    request.role = TE_STR("READER");
    return request;
}

static const te_demand ONE_CALL = {{"API_CALLS", 9}, 1};

static te_ceiling_request ceiling(void) {
    te_ceiling_request request = TE_CEILING_REQUEST_INIT;
    request.agent_id = TE_STR("agent_001");
    request.demands = &ONE_CALL;
    request.demand_count = 1;
    return request;
}

static te_new_record record(void) {
    te_new_record request = TE_NEW_RECORD_INIT;
    request.kind = TE_STR("ALERT");
    request.agent_id = TE_STR("agent_001");
    request.decision = TE_STR("DENY");
    return request;
}

static te_call named(const char *name) {
    te_call request = TE_CALL_INIT;
    request.name = te_str_of(name);
    return request;
}

/* Every function that takes a handle is given each of these in its place, and refuses it. */
static void with_every_handle_wrong(te_engine *engine) {
    static _Alignas(16) unsigned char zeros[4096], ones[4096];
    memset(ones, 0xff, sizeof ones);
    te_gate_verdict *gates = NULL;
    te_ceiling_verdict *ceilings = NULL;
    te_caller *caller = NULL;
    GIVES(TE_OK, te_gate_verdict_new(&gates, NULL));
    GIVES(TE_OK, te_ceiling_verdict_new(&ceilings, NULL));
    GIVES(TE_OK, te_caller_new(TE_STR("{}"), &caller, NULL));

    /* Null, memory that is no handle, a pointer that is not aligned, a handle of another kind. */
    void *wrong[] = {NULL, zeros, ones, zeros + 1, caller};
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        void *junk = wrong[at];
        te_error error = TE_ERROR_INIT;
        te_gate_request gate_request = gate();
        te_ceiling_request ceiling_request = ceiling();
        te_new_record new_record = record();
        te_call by_name = named("agents.count");
        void *out = &error;
        te_str item = NOTHING;
        size_t count = 77;
        int32_t fd = 77;
        uint64_t used = 1;

        GIVES(TE_INVALID_HANDLE, te_engine_close(junk, &error));
        CHECK(error.code == TE_INVALID_HANDLE && strstr(error.message, "te_engine") != NULL && !error.retryable);
        GIVES(TE_INVALID_HANDLE, te_engine_poll(junk, (te_completion **)&out, 1, &count, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_event_fd(junk, &fd, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_decide_gate(junk, &gate_request, gates, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_evaluate_gate(junk, &gate_request, gates, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_evaluate_gate_async(junk, &gate_request, NULL, NULL, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_check_ceiling(junk, &ceiling_request, ceilings, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_check_ceiling_now(junk, &ceiling_request, ceilings, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_check_ceiling_async(junk, &ceiling_request, NULL, NULL, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_quota(junk, TE_STR("agent_001"), NOTHING, (te_quota **)&out, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_reserve(junk, &ceiling_request, ceilings, (te_reservation **)&out, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_record(junk, &new_record, (te_receipt **)&out, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_record_async(junk, &new_record, NULL, NULL, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_call(junk, te_caller_host(), &by_name, (te_answer **)&out, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_call_async(junk, te_caller_host(), &by_name, NULL, NULL, &error));
        GIVES(TE_INVALID_HANDLE,
              te_engine_subscribe(junk, te_caller_host(), TE_STR("agents.list"), NOTHING, (te_subscription **)&out, &error));
        GIVES(TE_INVALID_HANDLE, te_quota_try_take(junk, TE_STR("API_CALLS"), 1, ceilings, &error));
        GIVES(TE_INVALID_HANDLE, te_reservation_commit(junk, &used, 1, NULL, &error));
        GIVES(TE_INVALID_HANDLE, te_reservation_void(junk, NULL, &error));
        GIVES(TE_INVALID_HANDLE, te_subscription_next(junk, &item, &error));
        GIVES(TE_INVALID_HANDLE, te_subscription_end(junk, &error));
        GIVES(TE_INVALID_HANDLE, te_gate_verdict_committed(junk, (te_receipt **)&out, &error));
        GIVES(TE_INVALID_HANDLE, te_gate_verdict_committed_async(junk, engine, NULL, NULL, &error));
        GIVES(TE_INVALID_HANDLE, te_completion_result(junk, &error));
        GIVES(TE_INVALID_HANDLE, te_completion_take_gate_verdict(junk, (te_gate_verdict **)&out, &error));
        GIVES(TE_INVALID_HANDLE, te_completion_take_ceiling_verdict(junk, (te_ceiling_verdict **)&out, &error));
        GIVES(TE_INVALID_HANDLE, te_completion_take_receipt(junk, (te_receipt **)&out, &error));
        GIVES(TE_INVALID_HANDLE, te_completion_take_answer(junk, (te_answer **)&out, &error));
        GIVES(TE_INVALID_HANDLE, te_answer_result(junk, &error));

        /* A verdict in the wrong place, with everything else right. */
        GIVES(TE_INVALID_HANDLE, te_engine_decide_gate(engine, &gate_request, junk, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_evaluate_gate(engine, &gate_request, junk, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_check_ceiling(engine, &ceiling_request, junk, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_check_ceiling_now(engine, &ceiling_request, junk, &error));
        GIVES(TE_INVALID_HANDLE, te_engine_reserve(engine, &ceiling_request, junk, (te_reservation **)&out, &error));
        CHECK(out == &error && count == 77 && fd == 77 && item.ptr == NULL);

        /* Accessors give nothing, and frees do nothing. */
        CHECK(!te_gate_verdict_allowed(junk) && te_gate_verdict_decision(junk) == TE_DENY);
        CHECK(te_gate_verdict_reason(junk).ptr == NULL && te_gate_verdict_reason_code(junk).ptr == NULL);
        CHECK(te_gate_verdict_trace(junk).ptr == NULL && te_gate_verdict_json(junk).ptr == NULL);
        CHECK(te_gate_verdict_required_tier(junk).ptr == NULL && te_gate_verdict_escalation_path(junk).ptr == NULL);
        CHECK(te_gate_verdict_id(junk).bytes[0] == 0 && te_gate_verdict_time(junk) == 0);
        CHECK(te_gate_verdict_recorded(junk) == TE_NOT_RECORDED);
        CHECK(!te_ceiling_verdict_allowed(junk) && te_ceiling_verdict_usage(junk).ceiling == 0);
        CHECK(te_ceiling_verdict_reason(junk).ptr == NULL && te_ceiling_verdict_reason_code(junk).ptr == NULL);
        CHECK(te_ceiling_verdict_json(junk).ptr == NULL && !te_ceiling_verdict_near_limit(junk));
        CHECK(!te_ceiling_verdict_retryable(junk) && te_ceiling_verdict_retry_after(junk) == 0);
        CHECK(!te_ceiling_verdict_repeated(junk) && te_ceiling_verdict_id(junk).bytes[15] == 0);
        CHECK(te_ceiling_verdict_time(junk) == 0 && te_ceiling_verdict_recorded(junk) == TE_NOT_RECORDED);
        CHECK(te_receipt_id(junk).bytes[0] == 0 && te_receipt_leaf_index(junk) == 0 && te_receipt_tree_size(junk) == 0);
        CHECK(te_receipt_time(junk) == 0 && te_receipt_json(junk).ptr == NULL);
        CHECK(te_answer_status(junk) == 0 && te_answer_body(junk).ptr == NULL && te_answer_etag(junk).ptr == NULL);
        CHECK(te_answer_content_type(junk).ptr == NULL && !te_answer_immutable(junk) && te_answer_retry_after(junk) == 0);
        CHECK(te_completion_user_data(junk) == NULL);
        te_engine_free(junk);
        te_quota_free(junk);
        te_reservation_free(junk);
        te_subscription_free(junk);
        te_gate_verdict_free(junk);
        te_ceiling_verdict_free(junk);
        te_receipt_free(junk);
        te_answer_free(junk);
        te_completion_free(junk);
        if (junk != caller) {
            te_caller_free(junk);
            {
                GIVES(TE_INVALID_HANDLE, te_engine_call(engine, junk, &by_name, (te_answer **)&out, &error));
                GIVES(TE_INVALID_HANDLE, te_engine_call_async(engine, junk, &by_name, NULL, NULL, &error));
                GIVES(TE_INVALID_HANDLE, te_engine_subscribe(engine, junk, TE_STR("agents.list"), NOTHING,
                                                             (te_subscription **)&out, &error));
            }
        }
    }
    te_gate_verdict_free(gates);
    te_ceiling_verdict_free(ceilings);
    te_caller_free(caller);
}

/* Every other pointer is refused where it is null or not aligned, and the error names it. */
static void with_every_pointer_wrong(te_engine *engine) {
    static _Alignas(16) unsigned char place[64];
    te_error error = TE_ERROR_INIT;
    te_gate_verdict *gates = NULL;
    te_ceiling_verdict *ceilings = NULL;
    GIVES(TE_OK, te_gate_verdict_new(&gates, NULL));
    GIVES(TE_OK, te_ceiling_verdict_new(&ceilings, NULL));
    te_ceiling_request ceiling_request = ceiling();
    te_new_record new_record = record();
    te_call by_name = named("agents.count");
    size_t count = 0;
    void *out = NULL;

    for (int at = 0; at < 2; at++) {
        void *bad = at == 0 ? NULL : (void *)(place + 1);
        GIVES(TE_INVALID_INPUT, te_engine_open(TE_STR("{\"storage\":{\"memory\":true}}"), bad, &error));
        CHECK(strcmp(error.field, "out") == 0);
        GIVES(TE_INVALID_INPUT, te_gate_verdict_new(bad, &error));
        GIVES(TE_INVALID_INPUT, te_ceiling_verdict_new(bad, &error));
        GIVES(TE_INVALID_INPUT, te_caller_new(TE_STR("{}"), bad, &error));
        GIVES(TE_INVALID_INPUT, te_engine_poll(engine, bad, 1, &count, &error));
        GIVES(TE_INVALID_INPUT, te_engine_poll(engine, (te_completion **)&out, 1, bad, &error));
        CHECK(strcmp(error.field, "count") == 0);
        GIVES(TE_INVALID_INPUT, te_engine_event_fd(engine, bad, &error));
        CHECK(strcmp(error.field, "fd") == 0);
        GIVES(TE_INVALID_INPUT, te_engine_quota(engine, TE_STR("agent_001"), NOTHING, bad, &error));
        GIVES(TE_INVALID_INPUT, te_engine_reserve(engine, &ceiling_request, ceilings, bad, &error));
        GIVES(TE_INVALID_INPUT, te_engine_record(engine, &new_record, bad, &error));
        GIVES(TE_INVALID_INPUT, te_engine_call(engine, te_caller_host(), &by_name, bad, &error));
        GIVES(TE_INVALID_INPUT, te_engine_subscribe(engine, te_caller_host(), TE_STR("agents.list"), NOTHING, bad, &error));
        GIVES(TE_INVALID_INPUT, te_engine_decide_gate(engine, bad, gates, &error));
        CHECK(strcmp(error.field, "request") == 0);
        GIVES(TE_INVALID_INPUT, te_engine_evaluate_gate(engine, bad, gates, &error));
        GIVES(TE_INVALID_INPUT, te_engine_evaluate_gate_async(engine, bad, NULL, NULL, &error));
        GIVES(TE_INVALID_INPUT, te_engine_check_ceiling(engine, bad, ceilings, &error));
        GIVES(TE_INVALID_INPUT, te_engine_check_ceiling_now(engine, bad, ceilings, &error));
        GIVES(TE_INVALID_INPUT, te_engine_check_ceiling_async(engine, bad, NULL, NULL, &error));
        GIVES(TE_INVALID_INPUT, te_engine_reserve(engine, bad, ceilings, (te_reservation **)&out, &error));
        GIVES(TE_INVALID_INPUT, te_engine_record(engine, bad, (te_receipt **)&out, &error));
        GIVES(TE_INVALID_INPUT, te_engine_record_async(engine, bad, NULL, NULL, &error));
        GIVES(TE_INVALID_INPUT, te_engine_call(engine, te_caller_host(), bad, (te_answer **)&out, &error));
        GIVES(TE_INVALID_INPUT, te_engine_call_async(engine, te_caller_host(), bad, NULL, NULL, &error));
    }
    GIVES(TE_INVALID_INPUT, te_uuid_format((te_uuid){{0}}, NULL));

    /* The pointers inside of requests. */
    ceiling_request.demands = NULL;
    GIVES(TE_INVALID_INPUT, te_engine_check_ceiling(engine, &ceiling_request, ceilings, &error));
    CHECK(strcmp(error.field, "demands") == 0);
    ceiling_request.demands = (const te_demand *)(const void *)(place + 1);
    GIVES(TE_INVALID_INPUT, te_engine_check_ceiling(engine, &ceiling_request, ceilings, &error));
    ceiling_request.demands = &ONE_CALL;
    ceiling_request.demand_count = SIZE_MAX;
    GIVES(TE_INVALID_INPUT, te_engine_check_ceiling(engine, &ceiling_request, ceilings, &error));

    te_reservation *reservation = NULL;
    ceiling_request.demand_count = 1;
    GIVES(TE_OK, te_engine_reserve(engine, &ceiling_request, ceilings, &reservation, &error));
    CHECK(reservation != NULL);
    uint64_t used = 1;
    GIVES(TE_INVALID_INPUT, te_reservation_commit(reservation, NULL, 1, NULL, &error));
    GIVES(TE_INVALID_INPUT, te_reservation_commit(reservation, &used, SIZE_MAX, NULL, &error));
    GIVES(TE_INVALID_INPUT, te_reservation_commit(reservation, &used, 0, NULL, &error));
    GIVES(TE_OK, te_reservation_commit(reservation, &used, 1, NULL, &error));
    GIVES(TE_CONFLICT, te_reservation_void(reservation, NULL, &error));
    te_reservation_free(reservation);
    te_gate_verdict_free(gates);
    te_ceiling_verdict_free(ceilings);
}

/* Texts: null with a length, a length that there cannot be, what is not UTF-8. */
static void with_every_text_wrong(te_engine *engine) {
    te_error error = TE_ERROR_INIT;
    te_gate_verdict *verdict = NULL;
    GIVES(TE_OK, te_gate_verdict_new(&verdict, NULL));
    const te_str wrong[] = {{NULL, 1}, {"x", SIZE_MAX}, {"x", (size_t)PTRDIFF_MAX + 1}, {"\xff\xfe", 2}, {"a\0b", 3}};
    for (size_t at = 0; at < sizeof wrong / sizeof *wrong; at++) {
        te_gate_request fields = gate();
        te_str *texts[] = {&fields.agent_id,      &fields.role,        &fields.tier,        &fields.organization,
                           &fields.caller,        &fields.on_behalf_of, &fields.traceparent, &fields.resource_id,
                           &fields.action,        &fields.environment, &fields.metadata};
        for (size_t field = 0; field < sizeof texts / sizeof *texts; field++) {
            te_str kept = *texts[field];
            *texts[field] = wrong[at];
            GIVES(TE_INVALID_INPUT, te_engine_decide_gate(engine, &fields, verdict, &error));
            CHECK(error.field[0] != 0);
            *texts[field] = kept;
        }
        te_engine *opened = NULL;
        GIVES(TE_INVALID_INPUT, te_engine_open(wrong[at], &opened, &error));
        te_caller *caller = NULL;
        GIVES(TE_INVALID_INPUT, te_caller_new(wrong[at], &caller, &error));
        te_code code = te_verify_record(wrong[at], wrong[at], wrong[at], &error);
        CHECK(code == TE_INVALID_INPUT);
        code = te_verify_log(TE_STR("/nowhere"), wrong[at], NOTHING, &error);
        CHECK(code == TE_INVALID_INPUT && opened == NULL && caller == NULL);
    }
    te_gate_request fields = gate();
    fields.agent_id = NOTHING;
    GIVES(TE_INVALID_INPUT, te_engine_decide_gate(engine, &fields, verdict, &error));
    CHECK(strcmp(error.field, "agentId") == 0 && te_gate_verdict_reason(verdict).ptr == NULL);
    fields = gate();
    fields.metadata = TE_STR("{\"a\":1,\"a\":2}");
    GIVES(TE_INVALID_INPUT, te_engine_decide_gate(engine, &fields, verdict, &error));
    CHECK(strcmp(error.field, "context.metadata") == 0);
    te_gate_verdict_free(verdict);
}

/* Structs of another size than ours: one whose size was not set, one of a newer program. */
static void with_structs_of_other_sizes(te_engine *engine) {
    te_error error = TE_ERROR_INIT;
    te_gate_verdict *verdict = NULL;
    GIVES(TE_OK, te_gate_verdict_new(&verdict, NULL));
    te_gate_request request = gate();
    const size_t sizes[] = {0, 1, sizeof(size_t), sizeof request - 1, 4097, SIZE_MAX};
    for (size_t at = 0; at < sizeof sizes / sizeof *sizes; at++) {
        request.size = sizes[at];
        GIVES(TE_INVALID_INPUT, te_engine_decide_gate(engine, &request, verdict, &error));
        CHECK(strcmp(error.field, "request") == 0);
    }
    struct {
        te_gate_request known;
        te_str added_later;
    } newer = {gate(), {NULL, 0}};
    newer.known.size = sizeof newer;
    GIVES(TE_OK, te_engine_decide_gate(engine, &newer.known, verdict, &error));
    newer.added_later = TE_STR("x");
    GIVES(TE_INVALID_INPUT, te_engine_decide_gate(engine, &newer.known, verdict, &error));

    /* An error whose size was not set is left alone, and so is one of a call that succeeds. */
    te_error unset;
    memset(&unset, 0x55, sizeof unset);
    unset.size = 0;
    te_error before = unset;
    GIVES(TE_INVALID_HANDLE, te_engine_close(NULL, &unset));
    CHECK(memcmp(&unset, &before, sizeof unset) == 0);
    unset.size = sizeof unset;
    before = unset;
    request = gate();
    GIVES(TE_OK, te_engine_decide_gate(engine, &request, verdict, &unset));
    CHECK(memcmp(&unset, &before, sizeof unset) == 0);
    te_gate_verdict_free(verdict);
}

/* Whatever a call fails with, the verdict that it was to write denies. */
static void a_failed_call_leaves_no_verdict(te_engine *engine) {
    te_gate_verdict *gates = NULL;
    te_ceiling_verdict *ceilings = NULL;
    te_quota *quota = NULL;
    te_gate_request gate_request = gate();
    te_ceiling_request ceiling_request = ceiling();
    GIVES(TE_OK, te_gate_verdict_new(&gates, NULL));
    GIVES(TE_OK, te_ceiling_verdict_new(&ceilings, NULL));
    GIVES(TE_OK, te_engine_quota(engine, TE_STR("agent_001"), NOTHING, &quota, NULL));
    for (int at = 0; at < 8; at++) {
        GIVES(TE_OK, te_engine_decide_gate(engine, &gate_request, gates, NULL));
        GIVES(TE_OK, te_quota_try_take(quota, TE_STR("API_CALLS"), 1, ceilings, NULL));
        CHECK(te_gate_verdict_allowed(gates) && te_ceiling_verdict_allowed(ceilings));
        te_code code = at == 0   ? te_engine_decide_gate(NULL, &gate_request, gates, NULL)
                       : at == 1 ? te_engine_evaluate_gate(NULL, &gate_request, gates, NULL)
                       : at == 2 ? te_engine_decide_gate(engine, NULL, gates, NULL)
                       : at == 3 ? te_engine_check_ceiling(NULL, &ceiling_request, ceilings, NULL)
                       : at == 4 ? te_engine_check_ceiling_now(NULL, &ceiling_request, ceilings, NULL)
                       : at == 5 ? te_quota_try_take(NULL, TE_STR("API_CALLS"), 1, ceilings, NULL)
                       : at == 6 ? te_quota_try_take(quota, NOTHING, 1, ceilings, NULL)
                                 : te_engine_reserve(engine, &ceiling_request, ceilings, NULL, NULL);
        CHECK(code != TE_OK);
        CHECK(at < 3 ? !te_gate_verdict_allowed(gates) : !te_ceiling_verdict_allowed(ceilings));
    }
    te_quota_free(quota);
    te_gate_verdict_free(gates);
    te_ceiling_verdict_free(ceilings);
}

static void after_close(void) {
    te_engine *engine = open_in_memory();
    register_agent(engine, "{\"id\":\"agent_001\",\"tier\":\"VERIFIED\"}");
    te_error error = TE_ERROR_INIT;
    te_gate_verdict *gates = NULL;
    te_ceiling_verdict *ceilings = NULL;
    te_quota *quota = NULL;
    te_subscription *subscription = NULL;
    te_str item;
    GIVES(TE_OK, te_gate_verdict_new(&gates, NULL));
    GIVES(TE_OK, te_ceiling_verdict_new(&ceilings, NULL));
    GIVES(TE_OK, te_engine_quota(engine, TE_STR("agent_001"), NOTHING, &quota, &error));
    GIVES(TE_OK, te_quota_try_take(quota, TE_STR("API_CALLS"), 1, ceilings, &error));
    CHECK(te_ceiling_verdict_allowed(ceilings));
    GIVES(TE_OK, te_engine_subscribe(engine, te_caller_host(), TE_STR("provenance.follow"), NOTHING, &subscription, &error));
    GIVES(TE_OK, te_engine_close(engine, &error));
    GIVES(TE_OK, te_engine_close(engine, &error));

    te_gate_request gate_request = gate();
    te_ceiling_request ceiling_request = ceiling();
    te_new_record new_record = record();
    te_receipt *receipt = NULL;
    GIVES(TE_CLOSED, te_engine_decide_gate(engine, &gate_request, gates, &error));
    GIVES(TE_CLOSED, te_engine_evaluate_gate(engine, &gate_request, gates, &error));
    GIVES(TE_CLOSED, te_engine_check_ceiling(engine, &ceiling_request, ceilings, &error));
    GIVES(TE_CLOSED, te_engine_check_ceiling_now(engine, &ceiling_request, ceilings, &error));
    GIVES(TE_CLOSED, te_quota_try_take(quota, TE_STR("API_CALLS"), 1, ceilings, &error));
    GIVES(TE_CLOSED, te_engine_record(engine, &new_record, &receipt, &error));
    CHECK(receipt == NULL && !te_ceiling_verdict_allowed(ceilings) && te_ceiling_verdict_reason(ceilings).ptr == NULL);
    te_call by_name = named("agents.count");
    te_answer *answer = NULL;
    int32_t fd = 0;
    GIVES(TE_CLOSED, te_engine_call(engine, te_caller_host(), &by_name, &answer, &error));
    GIVES(TE_CLOSED, te_engine_record_async(engine, &new_record, NULL, NULL, &error));
    GIVES(TE_CLOSED, te_engine_event_fd(engine, &fd, &error));
    GIVES(TE_CLOSED, te_engine_quota(engine, TE_STR("agent_001"), NOTHING, &quota, &error));
    /* Records that were committed before come first. */
    te_code next = TE_OK;
    while (next == TE_OK) {
        next = te_subscription_next(subscription, &item, &error);
    }
    CHECK(next == TE_CLOSED || next == TE_END);
    te_subscription_free(subscription);
    te_quota_free(quota);
    te_gate_verdict_free(gates);
    te_ceiling_verdict_free(ceilings);
    te_engine_free(engine);
}

#ifdef TE_TEST_PANIC
static void a_panic_poisons_its_handle_alone(void) {
    te_engine *engine = open_in_memory(), *other = open_in_memory();
    te_error error = TE_ERROR_INIT;
    te_gate_verdict *verdict = NULL;
    te_gate_request request = gate();
    GIVES(TE_OK, te_gate_verdict_new(&verdict, NULL));
    GIVES(TE_PANIC, te_test_panic(engine, &error));
    CHECK(error.code == TE_PANIC && error.message[0] != 0);
    GIVES(TE_POISONED, te_engine_decide_gate(engine, &request, verdict, &error));
    GIVES(TE_OK, te_engine_decide_gate(other, &request, verdict, &error));
    te_gate_verdict_free(verdict);
    te_engine_free(engine);
    te_engine_free(other);
}
#endif

enum { THREADS = 8, CALLS = 400 };

static void *many_calls(void *engine) {
    te_gate_verdict *verdict = NULL;
    te_ceiling_verdict *taken = NULL;
    te_error error = TE_ERROR_INIT;
    te_gate_request gate_request = gate();
    te_ceiling_request ceiling_request = ceiling();
    GIVES(TE_OK, te_gate_verdict_new(&verdict, NULL));
    GIVES(TE_OK, te_ceiling_verdict_new(&taken, NULL));
    size_t admitted = 0;
    for (int at = 0; at < CALLS; at++) {
        te_code code = te_engine_decide_gate(engine, &gate_request, verdict, &error);
        CHECK(code == TE_OK || code == TE_OVERLOADED);
        GIVES(TE_OK, te_engine_check_ceiling(engine, &ceiling_request, taken, &error));
        admitted += te_ceiling_verdict_allowed(taken);
    }
    te_gate_verdict_free(verdict);
    te_ceiling_verdict_free(taken);
    return (void *)admitted;
}

static void eight_threads_share_an_engine_and_a_ceiling(void) {
    te_engine *engine = open_in_memory();
    register_agent(engine, "{\"id\":\"agent_001\",\"tier\":\"VERIFIED\"}");
    pthread_t threads[THREADS];
    size_t admitted = 0;
    for (int at = 0; at < THREADS; at++) {
        CHECK(pthread_create(&threads[at], NULL, many_calls, engine) == 0);
    }
    for (int at = 0; at < THREADS; at++) {
        void *count = NULL;
        CHECK(pthread_join(threads[at], &count) == 0);
        admitted += (size_t)count;
    }
    /* The default policy's ceiling of a VERIFIED agent. */
    CHECK(admitted == 500);
    te_engine_free(engine);
}

struct seen {
    te_engine *engine;
    pthread_mutex_t lock;
    size_t done, failed;
    te_code closing;
};

static void on_done(void *user_data, te_completion *completion) {
    struct seen *seen = user_data;
    te_receipt *receipt = NULL;
    te_code code = te_completion_take_receipt(completion, &receipt, NULL);
    pthread_mutex_lock(&seen->lock);
    seen->done += code == TE_OK;
    seen->failed += code != TE_OK;
    pthread_mutex_unlock(&seen->lock);
    if (code == TE_OK) {
        CHECK(te_receipt_tree_size(receipt) > 0);
        GIVES(TE_CONFLICT, te_completion_take_receipt(completion, &receipt, NULL));
    }
    te_receipt_free(receipt);
    te_completion_free(completion);
    seen->closing = te_engine_close(seen->engine, NULL);
}

static void callbacks_that_are_under_way_come_before_close_returns(void) {
    struct seen seen = {open_in_memory(), PTHREAD_MUTEX_INITIALIZER, 0, 0, TE_OK};
    te_new_record new_record = record();
    for (int at = 0; at < 256; at++) {
        GIVES(TE_OK, te_engine_record_async(seen.engine, &new_record, on_done, &seen, NULL));
    }
    GIVES(TE_OK, te_engine_close(seen.engine, NULL));
    CHECK(seen.done + seen.failed == 256 && seen.done > 0);
    CHECK(seen.closing == TE_IN_CALLBACK);
    GIVES(TE_CLOSED, te_engine_record_async(seen.engine, &new_record, on_done, &seen, NULL));
    te_engine_free(seen.engine);
}

static void free_in_callback(void *user_data, te_completion *completion) {
    struct seen *seen = user_data;
    te_completion_free(completion);
    te_engine_free(seen->engine);
    pthread_mutex_lock(&seen->lock);
    seen->done = 1;
    pthread_mutex_unlock(&seen->lock);
}

static void an_engine_can_be_freed_in_its_own_callback(void) {
    struct seen seen = {open_in_memory(), PTHREAD_MUTEX_INITIALIZER, 0, 0, TE_OK};
    te_new_record new_record = record();
    GIVES(TE_OK, te_engine_record_async(seen.engine, &new_record, free_in_callback, &seen, NULL));
    for (size_t done = 0; done == 0;) {
        usleep(1000);
        pthread_mutex_lock(&seen.lock);
        done = seen.done;
        pthread_mutex_unlock(&seen.lock);
    }
}

static void a_child_is_refused(void) {
    te_engine *engine = open_in_memory();
    te_gate_verdict *verdict = NULL;
    te_gate_verdict *decided = NULL;
    te_ceiling_verdict *taken = NULL;
    te_quota *quota = NULL;
    te_gate_request request = gate();
    GIVES(TE_OK, te_gate_verdict_new(&verdict, NULL));
    GIVES(TE_OK, te_gate_verdict_new(&decided, NULL));
    GIVES(TE_OK, te_ceiling_verdict_new(&taken, NULL));
    GIVES(TE_OK, te_engine_quota(engine, TE_STR("agent_001"), NOTHING, &quota, NULL));
    GIVES(TE_OK, te_engine_decide_gate(engine, &request, decided, NULL));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        te_error error = TE_ERROR_INIT;
        te_code code = te_engine_decide_gate(engine, &request, verdict, &error);
        te_receipt *receipt = NULL;
        code = code == TE_FORKED ? te_gate_verdict_committed(decided, &receipt, &error) : code;
        code = code == TE_FORKED ? te_quota_try_take(quota, TE_STR("API_CALLS"), 1, taken, &error) : code;
        te_engine_free(engine);
        te_quota_free(quota);
        te_gate_verdict_free(decided);
        te_engine *own = NULL;
        te_code opened = te_engine_open(TE_STR("{\"storage\":{\"memory\":true}}"), &own, &error);
        te_code again = te_engine_decide_gate(own, &request, verdict, &error);
        _exit(code == TE_FORKED && opened == TE_OK && again == TE_OK ? 0 : 1);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    GIVES(TE_OK, te_engine_decide_gate(engine, &request, verdict, NULL));
    te_gate_verdict_free(verdict);
    te_gate_verdict_free(decided);
    te_ceiling_verdict_free(taken);
    te_quota_free(quota);
    te_engine_free(engine);
}

static void names_and_versions(void) {
    CHECK(te_abi_version() == TE_ABI_VERSION);
    CHECK(same(te_version(), TRUST_ENGINE_VERSION));
    te_caller_free((te_caller *)te_caller_host());
    te_caller_free((te_caller *)te_caller_host());
    CHECK(same(te_code_name(TE_INVALID_INPUT), "TE_INVALID_INPUT") && same(te_code_name(-1), "TE_UNKNOWN"));
    te_uuid id = {{0x01, 0x9b, 0x7c, 0xa9, 0x8c, 0x88, 0x70, 0x21, 0xa2, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29}};
    char text[TE_UUID_BYTES];
    GIVES(TE_OK, te_uuid_format(id, text));
    CHECK(strcmp(text, "019b7ca9-8c88-7021-a223-242526272829") == 0);
}

int main(void) {
    te_engine *engine = open_in_memory();
    register_agent(engine, "{\"id\":\"agent_001\",\"tier\":\"VERIFIED\"}");
    names_and_versions();
    with_every_handle_wrong(engine);
    with_every_pointer_wrong(engine);
    with_every_text_wrong(engine);
    with_structs_of_other_sizes(engine);
    a_failed_call_leaves_no_verdict(engine);
    te_engine_free(engine);
    after_close();
#ifdef TE_TEST_PANIC
    a_panic_poisons_its_handle_alone();
#endif
    eight_threads_share_an_engine_and_a_ceiling();
    callbacks_that_are_under_way_come_before_close_returns();
    an_engine_can_be_freed_in_its_own_callback();
    /* A child lets go of nothing on purpose, which valgrind takes for a leak. */
    if (getenv("TE_TEST_NO_FORK") == NULL) {
        a_child_is_refused();
    }
    puts("boundary: every wrong pointer, text and size was refused");
    return 0;
}
