// The vectors that every language runs (trust-engine/tests/vectors), through the C interface.
#include "../c/check.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

using nlohmann::json;

namespace {

json read(const std::string &file) {
    std::ifstream text(file);
    CHECK(text.good());
    return json::parse(text);
}

te_str str(const std::string &text) { return {text.data(), text.size()}; }

std::string decode_base64(const std::string &text) {
    static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    unsigned held = 0, bits = 0;
    for (char digit : text) {
        if (digit == '=') break;
        held = held << 6 | static_cast<unsigned>(digits.find(digit));
        bits += 6;
        if (bits >= 8) bytes += static_cast<char>(held >> (bits -= 8) & 0xff);
    }
    return bytes;
}

std::string decode_hex(const std::string &text) {
    std::string bytes;
    for (size_t at = 0; at + 1 < text.size(); at += 2)
        bytes += static_cast<char>(std::stoi(text.substr(at, 2), nullptr, 16));
    return bytes;
}

void calls(const std::string &folder) {
    te_engine *engine = nullptr;
    const std::string options = R"({"storage":{"memory":true},"tierAuthorities":["gateway"]})";
    GIVES(TE_OK, te_engine_open(str(options), &engine, nullptr));
    register_agent(engine, R"({"id":"agent_001","tier":"VERIFIED"})");
    register_agent(engine, R"({"id":"agent_002","tier":"VERIFIED","status":"SUSPENDED"})");
    const json names = {{"evaluateGate", "gates.evaluate"}, {"checkCeiling", "ceilings.check"}, {"record", "provenance.record"}};
    const json vectors = read(folder + "/calls.json");
    CHECK(vectors.size() > 50);
    for (const json &vector : vectors) {
        const std::string what = vector["name"], call = names.at(vector["call"].get<std::string>());
        const std::string body = vector.contains("base64") ? decode_base64(vector["base64"]) : vector["body"].get<std::string>();
        te_caller *caller = nullptr;
        if (vector.contains("caller")) {
            const std::string named = json{{"name", vector["caller"]}}.dump();
            GIVES(TE_OK, te_caller_new(str(named), &caller, nullptr));
        }
        te_call request = TE_CALL_INIT;
        request.name = str(call);
        request.body = str(body);
        request.request_id = TE_STR("req-1");
        te_answer *answer = nullptr;
        GIVES(TE_OK, te_engine_call(engine, caller != nullptr ? caller : te_caller_host(), &request, &answer, nullptr));
        const te_str text = te_answer_body(answer);
        const json read = json::parse(text.ptr, text.ptr + text.len);
        auto holds = [&](bool that, const std::string &field) {
            if (that) return;
            std::fprintf(stderr, "%s: %s: %s\n", what.c_str(), field.c_str(), read.dump().c_str());
            std::exit(1);
        };
        holds(te_answer_status(answer) == vector["status"], "status");
        const json expects = vector.value("expect", json::object());
        for (const auto &[field, expected] : expects.items())
            holds(read.contains(field) && read[field] == expected, field);
        if (vector.contains("field")) {
            holds(read["details"]["field"] == vector["field"], "field");
            holds(read["requestId"] == "req-1", "requestId");
            te_error error = TE_ERROR_INIT;
            holds(te_answer_result(answer, &error) != TE_OK && error.message[0] != 0, "result");
        }
        holds(read.contains("code") == (te_answer_status(answer) >= 400), "code");
        if (vector.contains("longest")) holds(text.len <= vector["longest"], "longest");
        te_answer_free(answer);
        te_caller_free(caller);
    }
    te_engine_free(engine);
}

void log(const std::string &folder) {
    const json vectors = read(folder + "/log.json");
    const std::string key = vectors["verifierKey"];
    te_error error = TE_ERROR_INIT;
    for (const json &vector : vectors["entries"]) {
        if (vector["payload"].is_null()) continue;
        const std::string entry = vector["entry"], payload = vector["payload"], salt = decode_hex(vector["salt"]);
        GIVES(TE_OK, te_verify_payload(str(entry), str(payload), str(salt), &error));
        GIVES(TE_OK, te_verify_payload(str(entry), str(payload), str(vector["salt"].get<std::string>()), &error));
        std::string changed = payload;
        changed[changed.size() / 2] = static_cast<char>(changed[changed.size() / 2] ^ 1);
        GIVES(TE_NOT_VERIFIED, te_verify_payload(str(entry), str(changed), str(salt), &error));
    }
    const json &proof = vectors["proof"];
    const std::string text = proof["text"], entry = vectors["entries"][proof["index"].get<size_t>()]["entry"];
    GIVES(TE_OK, te_verify_record(str(entry), str(text), str(key), &error));
    for (size_t at = 0; at < entry.size(); at++) {
        std::string changed = entry;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        GIVES(TE_NOT_VERIFIED, te_verify_record(str(changed), str(text), str(key), &error));
    }
}

} // namespace

int main(int argc, char **argv) {
    CHECK(argc == 2);
    calls(argv[1]);
    log(argv[1]);
    std::puts("vectors: C answers as the other languages do");
}
