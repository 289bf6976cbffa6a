/* Kills a program under load, again and again: what it was told to be recorded is in the log of the next opening.
 * `killed FOLDER ROUNDS` is the parent; `killed FOLDER write` is the program that is killed. */
#define _GNU_SOURCE
#include "check.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { IN_FLIGHT = 64, MOST = 400000 };

static te_engine *open_store(const char *folder) {
    char options[4096];
    te_engine *engine = NULL;
    te_error error = TE_ERROR_INIT;
    CHECK(snprintf(options, sizeof options, "{\"storage\":{\"embedded\":\"%s\"}}", folder) < (int)sizeof options);
    /* The lock of a process that was killed may be held for a moment. */
    te_code code = TE_LOCKED;
    for (int tries = 0; code == TE_LOCKED && tries < 100; tries++) {
        code = te_engine_open(te_str_of(options), &engine, &error);
        if (code == TE_LOCKED) {
            usleep(20000);
        }
    }
    if (code != TE_OK) {
        fprintf(stderr, "open: %s\n", error.message);
        exit(1);
    }
    return engine;
}

static void acknowledged(const te_receipt *receipt) {
    char line[TE_UUID_BYTES];
    GIVES(TE_OK, te_uuid_format(te_receipt_id(receipt), line));
    line[TE_UUID_BYTES - 1] = '\n';
    CHECK(write(STDOUT_FILENO, line, sizeof line) == (ssize_t)sizeof line);
}

static void on_recorded(void *user_data, te_completion *completion) {
    te_engine *engine = user_data;
    te_receipt *receipt = NULL;
    te_new_record record = TE_NEW_RECORD_INIT;
    GIVES(TE_OK, te_completion_take_receipt(completion, &receipt, NULL));
    acknowledged(receipt);
    te_receipt_free(receipt);
    te_completion_free(completion);
    record.kind = TE_STR("ALERT");
    record.agent_id = TE_STR("agent_001");
    record.decision = TE_STR("SEEN");
    GIVES(TE_OK, te_engine_record_async(engine, &record, on_recorded, engine, NULL));
}

static void write_until_killed(const char *folder) {
    te_engine *engine = open_store(folder);
    te_new_record record = TE_NEW_RECORD_INIT;
    record.kind = TE_STR("ALERT");
    record.agent_id = TE_STR("agent_001");
    record.decision = TE_STR("SEEN");
    for (int at = 0; at < IN_FLIGHT; at++) {
        GIVES(TE_OK, te_engine_record_async(engine, &record, on_recorded, engine, NULL));
    }
    for (;;) {
        te_receipt *receipt = NULL;
        GIVES(TE_OK, te_engine_record(engine, &record, &receipt, NULL));
        acknowledged(receipt);
        te_receipt_free(receipt);
    }
}

static char (*ids)[TE_UUID_BYTES];
static size_t count;

/* Reads whole lines until the writer is gone. */
static void read_acknowledged(int from, pid_t writer, long milliseconds) {
    FILE *lines = fdopen(from, "r");
    struct timespec begun, now;
    size_t before = count;
    int alive = 1;
    CHECK(lines != NULL && clock_gettime(CLOCK_MONOTONIC, &begun) == 0);
    while (count < MOST && fread(ids[count], TE_UUID_BYTES, 1, lines) == 1) {
        CHECK(ids[count][TE_UUID_BYTES - 1] == '\n');
        ids[count++][TE_UUID_BYTES - 1] = 0;
        CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
        long since = (now.tv_sec - begun.tv_sec) * 1000 + (now.tv_nsec - begun.tv_nsec) / 1000000;
        if (alive && since > milliseconds) {
            CHECK(kill(writer, SIGKILL) == 0);
            alive = 0;
        }
    }
    CHECK(!alive && count > before);
    fclose(lines);
}

static void look_up_all(const char *folder) {
    te_engine *engine = open_store(folder);
    for (size_t at = 0; at < count; at++) {
        char parameters[80];
        snprintf(parameters, sizeof parameters, "{\"id\":\"%s\"}", ids[at]);
        te_answer *answer = call(engine, "provenance.get", parameters, NULL);
        if (te_answer_status(answer) != 200) {
            fprintf(stderr, "the acknowledged record %s is lost\n", ids[at]);
            exit(1);
        }
        te_answer_free(answer);
    }
    te_engine_free(engine);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    if (strcmp(argv[2], "write") == 0) {
        write_until_killed(argv[1]);
    }
    int rounds = atoi(argv[2]);
    ids = malloc((size_t)MOST * sizeof *ids);
    CHECK(rounds > 0 && ids != NULL);
    for (int round = 0; round < rounds && count < MOST; round++) {
        int ends[2], status;
        CHECK(pipe(ends) == 0);
        pid_t writer = fork();
        CHECK(writer >= 0);
        if (writer == 0) {
            dup2(ends[1], STDOUT_FILENO);
            close(ends[0]);
            close(ends[1]);
            execl(argv[0], argv[0], argv[1], "write", (char *)NULL);
            _exit(127);
        }
        close(ends[1]);
        read_acknowledged(ends[0], writer, 20 + (round * 37) % 300);
        CHECK(waitpid(writer, &status, 0) == writer && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    look_up_all(argv[1]);
    printf("killed: %d kills, %zu acknowledged records, none missing\n", rounds, count);
    free(ids);
    return 0;
}
