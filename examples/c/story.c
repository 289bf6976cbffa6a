// A gateway in front of an agent: it asks before each action, and an auditor checks one answer afterwards with nothing but the
// log's public key.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "trust_engine.h"

// Only releasers deploy, and three times a day.
static const char POLICY[] =
    "policyFormat: 1\n"
    "name: release-team\n"
    "tiers: [{ name: GUEST }, { name: RELEASER }]\n"
    "roles: [{ name: DEPLOYER, minimumTier: RELEASER }]\n"
    "defaultEffect: ALLOW\n"
    "resources: [DEPLOYMENTS]\n"
    "ceilings: { agent: [{ tier: RELEASER, resource: DEPLOYMENTS, limit: 3, windowSeconds: 86400 }] }\n";

// Ends the program unless something is as the story says.
static void expect(bool is_so, const char *what) {
    if (!is_so) {
        fprintf(stderr, "not so: %s\n", what);
        exit(1);
    }
}

// Ends the program if a call has failed.
static void must(te_code code, const te_error *error) {
    if (code != TE_OK) {
        te_str name = te_code_name((int32_t)code);
        fprintf(stderr, "%.*s: %s\n", (int)name.len, name.ptr, error->message);
        exit(1);
    }
}

static void print(te_str text) {
    printf("%.*s\n", (int)text.len, text.ptr);
}

static te_engine *open_store(const char *folder, te_error *error) {
    char *storage = json_quoted(folder), *policy = json_quoted(POLICY);
    expect(storage != NULL && policy != NULL, "there is memory");
    size_t room = strlen(storage) + strlen(policy) + 64;
    char *options = malloc(room);
    expect(options != NULL, "there is memory");
    snprintf(options, room, "{\"storage\":{\"embedded\":%s},\"policy\":%s}", storage, policy);
    te_engine *engine = NULL;
    must(te_engine_open(te_str_of(options), &engine, error), error);
    free(options);
    free(policy);
    free(storage);
    return engine;
}

// Makes a call by name and gives the body of its answer, which the caller frees.
static char *call(te_engine *engine, const char *name, const char *parameters, const char *body, te_error *error) {
    te_call named = TE_CALL_INIT;
    named.name = te_str_of(name);
    named.parameters = te_str_of(parameters);
    named.body = te_str_of(body);
    te_answer *answer = NULL;
    must(te_engine_call(engine, te_caller_host(), &named, &answer, error), error);
    must(te_answer_result(answer, error), error);
    te_str given = te_answer_body(answer);
    char *copy = malloc(given.len + 1);
    expect(copy != NULL, "there is memory");
    memcpy(copy, given.ptr, given.len);
    copy[given.len] = 0;
    te_answer_free(answer);
    return copy;
}

int main(int count, char **arguments) {
    if (count != 2 || te_abi_version() != TE_ABI_VERSION) {
        fprintf(stderr, "usage: story FOLDER, with the library that belongs to the header\n");
        return 2;
    }
    te_error error = TE_ERROR_INIT;
    te_engine *engine = open_store(arguments[1], &error);
    // The auditor keeps the log's public key from the beginning.
    char *info = call(engine, "engine.info", NULL, NULL, &error);
    char *key = json_text(info, "verifierKey");
    free(info);
    free(call(engine, "agents.register", NULL, "{\"id\":\"agent_ship\",\"tier\":\"RELEASER\",\"creator\":\"ops\"}", &error));

    // May the agent deploy?
    te_gate_request gate = TE_GATE_REQUEST_INIT;
    gate.agent_id = TE_STR("agent_ship");
    gate.role = TE_STR("DEPLOYER");
    gate.resource_id = TE_STR("api");
    gate.environment = TE_STR("staging");
    te_gate_verdict *verdict = NULL;
    must(te_gate_verdict_new(&verdict, &error), &error);
    must(te_engine_evaluate_gate(engine, &gate, verdict, &error), &error);
    expect(te_gate_verdict_allowed(verdict), "the gate allows it");
    print(te_gate_verdict_trace(verdict));

    // The agent may three times, so the fourth check is refused.
    te_demand demand = {TE_STR("DEPLOYMENTS"), 1};
    te_ceiling_request request = TE_CEILING_REQUEST_INIT;
    request.agent_id = TE_STR("agent_ship");
    request.demands = &demand;
    request.demand_count = 1;
    te_ceiling_verdict *check = NULL;
    must(te_ceiling_verdict_new(&check, &error), &error);
    for (int turn = 1; turn <= 4; turn++) {
        must(te_engine_check_ceiling(engine, &request, check, &error), &error);
        expect(te_ceiling_verdict_allowed(check) == (turn <= 3), "three are admitted and the fourth is refused");
        print(te_ceiling_verdict_reason(check));
    }

    // The host's own decision goes into the same log, as a consequence of the verdict.
    char parent[TE_UUID_BYTES], id[TE_UUID_BYTES], parameters[64];
    te_uuid_format(te_gate_verdict_id(verdict), parent);
    te_new_record record = TE_NEW_RECORD_INIT;
    record.kind = TE_STR("ALERT");
    record.agent_id = TE_STR("agent_ship");
    record.decision = TE_STR("ROLLED_BACK");
    record.reason = TE_STR("the \"canary\" answered too slowly");
    record.parent_id = te_str_of(parent);
    te_receipt *receipt = NULL;
    must(te_engine_record(engine, &record, &receipt, &error), &error);
    te_uuid_format(te_receipt_id(receipt), id);
    printf("record %s is entry %" PRIu64 " of the log\n", id, te_receipt_leaf_index(receipt));

    // The log has one gate, four checks and one record of the host's about this agent.
    te_subscription *records = NULL;
    te_str item;
    int found = 0;
    must(te_engine_subscribe(engine, te_caller_host(), TE_STR("provenance.query"), TE_STR("{\"agentId\":\"agent_ship\"}"), &records, &error),
         &error);
    te_code code;
    while ((code = te_subscription_next(records, &item, &error)) == TE_OK) {
        print(item);
        found++;
    }
    must(code == TE_END ? TE_OK : code, &error);
    expect(found == 6, "six records are found");

    // The auditor gets the evidence. The engine is not needed any more.
    snprintf(parameters, sizeof parameters, "{\"id\":\"%s\"}", id);
    char *evidence = call(engine, "provenance.evidence", parameters, NULL, &error);
    te_subscription_free(records);
    te_receipt_free(receipt);
    te_ceiling_verdict_free(check);
    te_gate_verdict_free(verdict);
    must(te_engine_close(engine, &error), &error);
    te_engine_free(engine);

    char *entry = json_text(evidence, "entry"), *proof = json_text(evidence, "proof");
    expect(entry != NULL && proof != NULL && key != NULL, "key and evidence are complete");
    must(te_verify_record(te_str_of(entry), te_str_of(proof), te_str_of(key), &error), &error);
    printf("%s\nis proved by\n%s", entry, proof);

    // One byte of the entry is changed, and it is proved no more.
    entry[strlen(entry) / 2] ^= 1;
    code = te_verify_record(te_str_of(entry), te_str_of(proof), te_str_of(key), &error);
    expect(code == TE_NOT_VERIFIED, "what was tampered with is refused");
    printf("refused: %s\n", error.message);
    free(key);
    free(proof);
    free(entry);
    free(evidence);
    return 0;
}
