/* What a call from C costs: see benches/bindings/run. `bench POLICY FOLDER LANGUAGE` */
#define _GNU_SOURCE
#include "trust_engine.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCHES = 41, CALLS = 50000, RECORDS = 200000, IN_FLIGHT = 256 };

static te_error error;

static void must(te_code code) {
    if (code != TE_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void told(const char *name, double *times) {
    qsort(times, BATCHES, sizeof *times, ascending);
    printf("c\t%s\t%.1f\tns\n", name, times[BATCHES / 2]);
}

static te_engine *open_engine(const char *storage, const char *policy) {
    char *options = NULL;
    te_engine *engine = NULL;
    if (asprintf(&options, "{\"storage\":%s%s%s%s}", storage, policy ? ",\"policy\":\"" : "", policy ? policy : "", policy ? "\"" : "") < 0) {
        exit(1);
    }
    must(te_engine_open(te_str_of(options), &engine, &error));
    free(options);
    return engine;
}

/* The text of a file as JSON has it. */
static char *read_escaped(const char *path) {
    static char escaped[16384];
    char *to = escaped;
    FILE *file = fopen(path, "r");
    for (int byte; file != NULL && (byte = fgetc(file)) != EOF && to < escaped + sizeof escaped - 3;) {
        if (byte == '\n') {
            *to++ = '\\', *to++ = 'n';
        } else {
            if (byte == '"' || byte == '\\') {
                *to++ = '\\';
            }
            *to++ = (char)byte;
        }
    }
    if (file == NULL) {
        exit(1);
    }
    fclose(file);
    *to = 0;
    return escaped;
}

static void records(const char *name, const char *storage) {
    te_engine *engine = open_engine(storage, NULL);
    te_new_record record = TE_NEW_RECORD_INIT;
    record.kind = TE_STR("ALERT");
    record.agent_id = TE_STR("agent_001");
    record.decision = TE_STR("SEEN");
    te_completion *done[IN_FLIGHT];
    struct pollfd ready = {.events = POLLIN};
    int begun = 0, ended = 0;
    double start = now();
    while (ended < RECORDS) {
        while (begun < RECORDS && begun - ended < IN_FLIGHT) {
            must(te_engine_record_async(engine, &record, NULL, NULL, &error));
            begun++;
        }
        size_t count = 0;
        must(te_engine_event_fd(engine, &ready.fd, &error));
        poll(&ready, 1, -1);
        must(te_engine_poll(engine, done, IN_FLIGHT, &count, &error));
        for (size_t at = 0; at < count; at++) {
            te_receipt *receipt = NULL;
            must(te_completion_take_receipt(done[at], &receipt, &error));
            te_receipt_free(receipt);
            te_completion_free(done[at]);
        }
        ended += (int)count;
    }
    printf("c\t%s\t%.0f\t/s\n", name, RECORDS / ((now() - start) / 1e9));
    te_engine_free(engine);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        return 2;
    }
    error = TE_ERROR_INIT;
    te_engine *engine = open_engine("{\"memory\":true}", read_escaped(argv[1]));
    te_call agent = TE_CALL_INIT;
    te_answer *answer = NULL;
    te_gate_verdict *verdict = NULL;
    te_ceiling_verdict *taken = NULL;
    te_quota *quota = NULL;
    double times[BATCHES];
    agent.name = TE_STR("agents.register");
    agent.body = TE_STR("{\"id\":\"agent_001\",\"tier\":\"MEMBER\"}");
    must(te_engine_call(engine, te_caller_host(), &agent, &answer, &error));
    must(te_answer_result(answer, &error));
    must(te_gate_verdict_new(&verdict, &error));
    must(te_ceiling_verdict_new(&taken, &error));
    must(te_engine_quota(engine, TE_STR("agent_001"), (te_str){NULL, 0}, &quota, &error));

    for (int batch = 0; batch < BATCHES; batch++) {
        double start = now();
        for (int at = 0; at < CALLS; at++) {
            te_gate_request request = TE_GATE_REQUEST_INIT;
            request.agent_id = TE_STR("agent_001");
            request.role = TE_STR("READER");
            must(te_engine_decide_gate(engine, &request, verdict, &error));
            if (!te_gate_verdict_allowed(verdict)) {
                return 1;
            }
        }
        times[batch] = (now() - start) / CALLS;
    }
    told("gate", times);
    for (int batch = 0; batch < BATCHES; batch++) {
        double start = now();
        for (int at = 0; at < CALLS; at++) {
            must(te_quota_try_take(quota, TE_STR("CALLS"), 1, taken, &error));
            if (!te_ceiling_verdict_allowed(taken)) {
                return 1;
            }
        }
        times[batch] = (now() - start) / CALLS;
    }
    told("check by handle", times);
    te_quota_free(quota);
    te_ceiling_verdict_free(taken);
    te_gate_verdict_free(verdict);
    te_answer_free(answer);
    te_engine_free(engine);

    char storage[4096];
    snprintf(storage, sizeof storage, "{\"embedded\":\"%s\"}", argv[2]);
    records("records in memory, 256 in flight", "{\"memory\":true}");
    records("records durable, 256 in flight", storage);
    return 0;
}
