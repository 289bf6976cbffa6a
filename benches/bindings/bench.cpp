// What a call from C++ costs: see benches/bindings/run. `bench POLICY`
#include "trust_engine.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>

namespace {

constexpr int BATCHES = 41, CALLS = 50000;

template <typename F>
void median(const char *name, F call) {
    std::array<double, BATCHES> times{};
    for (double &time : times) {
        const auto start = std::chrono::steady_clock::now();
        for (int at = 0; at < CALLS; at++) call();
        time = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / CALLS;
    }
    std::sort(times.begin(), times.end());
    std::printf("c++\t%s\t%.1f\tns\n", name, times[BATCHES / 2]);
}

std::string escaped(const std::string &text) {
    std::string out;
    for (char byte : text) {
        if (byte == '\n') { out += "\\n"; continue; }
        if (byte == '"' || byte == '\\') out += '\\';
        out += byte;
    }
    return out;
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    std::stringstream policy;
    policy << std::ifstream(argv[1]).rdbuf();
    auto engine = trust_engine::Engine::open(R"({"storage":{"memory":true},"policy":")" + escaped(policy.str()) + "\"}");
    engine.call("agents.register", "", R"({"id":"agent_001","tier":"MEMBER"})").check();
    auto quota = engine.quota("agent_001");
    trust_engine::GateVerdict verdict;
    trust_engine::CeilingVerdict taken;
    median("gate", [&] {
        trust_engine::GateRequest request{"agent_001", "READER"};
        engine.decide_gate(request, verdict);
        if (!verdict) std::exit(1);
    });
    median("check by handle", [&] {
        quota.try_take("CALLS", 1, taken);
        if (!taken) std::exit(1);
    });
}
