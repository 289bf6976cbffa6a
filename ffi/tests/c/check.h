/* What the tests in C share: a check that names its place, and an engine to begin with. */
#ifndef CHECK_H
#define CHECK_H

#include "trust_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                  \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

/* A call has to give this result. */
#define GIVES(expected, call)                                                                \
    do {                                                                                     \
        te_code code_ = (call);                                                              \
        if (code_ != (expected)) {                                                           \
            te_str name_ = te_code_name((int32_t)code_);                                     \
            fprintf(stderr, "%s:%d: %s gave %.*s\n", __FILE__, __LINE__, #call, (int)name_.len, name_.ptr); \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

static inline int same(te_str text, const char *expected) {
    return text.len == strlen(expected) && memcmp(text.ptr, expected, text.len) == 0;
}

static inline te_engine *open_in_memory(void) {
    te_engine *engine = NULL;
    te_error error = TE_ERROR_INIT;
    if (te_engine_open(TE_STR("{\"storage\":{\"memory\":true}}"), &engine, &error) != TE_OK) {
        fprintf(stderr, "open: %s\n", error.message);
        exit(1);
    }
    return engine;
}

static inline te_answer *call(te_engine *engine, const char *name, const char *parameters, const char *body) {
    te_call request = TE_CALL_INIT;
    te_answer *answer = NULL;
    request.name = te_str_of(name);
    request.parameters = te_str_of(parameters);
    request.body = te_str_of(body);
    GIVES(TE_OK, te_engine_call(engine, te_caller_host(), &request, &answer, NULL));
    return answer;
}

static inline void register_agent(te_engine *engine, const char *body) {
    te_answer *answer = call(engine, "agents.register", NULL, body);
    CHECK(te_answer_status(answer) == 201);
    te_answer_free(answer);
}

#endif
