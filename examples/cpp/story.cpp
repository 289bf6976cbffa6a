// A gateway in front of an agent: it asks before each action, and an auditor checks one answer afterwards with nothing but the
// log's public key.

#include <cstdlib>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>

#include "../c/json.h"
#include "trust_engine.hpp"

namespace {

using namespace trust_engine;

// Only releasers deploy, and three times a day.
constexpr const char *POLICY = R"(
policyFormat: 1
name: release-team
tiers: [{ name: GUEST }, { name: RELEASER }]
roles: [{ name: DEPLOYER, minimumTier: RELEASER }]
defaultEffect: ALLOW
resources: [DEPLOYMENTS]
ceilings: { agent: [{ tier: RELEASER, resource: DEPLOYMENTS, limit: 3, windowSeconds: 86400 }] }
)";

// Ends the story unless something is as it says.
void expect(bool is_so, const char *what) {
    if (!is_so) {
        throw std::runtime_error(std::string("not so: ") + what);
    }
}

// A text that the C functions of json.h have made.
std::string owned(char *text) {
    expect(text != nullptr, "the text is there");
    const std::string copy = text;
    std::free(text);
    return copy;
}

std::string member(const std::string &json, const char *name) {
    return owned(json_text(json.c_str(), name));
}

Engine open_store(const char *folder) {
    return Engine::open("{\"storage\":{\"embedded\":" + owned(json_quoted(folder)) +
                        "},\"policy\":" + owned(json_quoted(POLICY)) + "}");
}

void story(const char *folder) {
    Engine engine = open_store(folder);
    // The auditor keeps the log's public key from the beginning.
    const std::string key = member(engine.call("engine.info").value(), "verifierKey");
    engine.call("agents.register", {}, R"({"id":"agent_ship","tier":"RELEASER","creator":"ops"})").check();

    // May the agent deploy?
    GateRequest gate{"agent_ship", "DEPLOYER"};
    gate.resource_id = "api";
    gate.environment = "staging";
    const GateVerdict verdict = engine.evaluate_gate(gate);
    expect(verdict.allowed(), "the gate allows it");
    std::cout << verdict.trace() << '\n';

    // The agent may three times, so the fourth check is refused.
    const CeilingRequest request{"agent_ship", {{"DEPLOYMENTS", 1}}};
    CeilingVerdict check;
    for (int turn = 1; turn <= 4; turn++) {
        engine.check_ceiling(request, check);
        expect(check.allowed() == (turn <= 3), "three are admitted and the fourth is refused");
        std::cout << check.reason() << '\n';
    }

    // The host's own decision goes into the same log, as a consequence of the verdict.
    const std::string parent = verdict.id().to_string();
    NewRecord record{"ALERT", "agent_ship", "ROLLED_BACK"};
    record.reason = "the \"canary\" answered too slowly";
    record.parent_id = parent;
    const Receipt receipt = engine.record(record);
    const std::string id = receipt.id().to_string();
    std::cout << "record " << id << " is entry " << receipt.leaf_index() << " of the log\n";

    // The log has one gate, four checks and one record of the host's about this agent.
    int found = 0;
    Subscription records = engine.subscribe("provenance.query", R"({"agentId":"agent_ship"})");
    for (const std::string &item : records) {
        std::cout << item << '\n';
        found++;
    }
    expect(found == 6, "six records are found");

    // The auditor gets the evidence. The engine is not needed any more.
    const std::string evidence = engine.call("provenance.evidence", "{\"id\":\"" + id + "\"}").value();
    engine.close();
    std::string entry = member(evidence, "entry");
    const std::string proof = member(evidence, "proof");
    verify::record(entry, proof, key);
    std::cout << entry << "\nis proved by\n" << proof;

    // One byte of the entry is changed, and it is proved no more.
    entry[entry.size() / 2] ^= 1;
    try {
        verify::record(entry, proof, key);
    } catch (const Error &error) {
        expect(error.code() == TE_NOT_VERIFIED, "the tampered entry is not verified");
        std::cout << "refused: " << error.message() << '\n';
        return;
    }
    expect(false, "what was tampered with is refused");
}

}  // namespace

int main(int count, char **arguments) {
    if (count != 2) {
        std::cerr << "usage: story FOLDER\n";
        return 2;
    }
    try {
        story(arguments[1]);
        return 0;
    } catch (const Error &error) {
        std::cerr << error.code_name() << ": " << error.message() << '\n';
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
    }
    return 1;
}
