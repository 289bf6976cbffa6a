// The vectors that every language runs, by a Go program over the C interface, as a foreigner would use it: nothing but the
// header and the library.
package main

/*
#include <stdlib.h>
#include "trust_engine.h"

// cgo does not see macros that make values.
static te_error error_init(void) { return TE_ERROR_INIT; }
static te_call call_init(void) { return TE_CALL_INIT; }
*/
import "C"

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"unsafe"
)

type vector struct {
	Name, Call, Body, Base64, Caller, Field string
	Status                                  int
	Expect                                  map[string]any
	Longest                                 *int
}

// In C's memory, because Go's must not be kept in a struct that is passed to C.
type texts []unsafe.Pointer

func (kept *texts) str(text []byte) C.te_str {
	if len(text) == 0 {
		return C.te_str{}
	}
	memory := C.CBytes(text)
	*kept = append(*kept, memory)
	return C.te_str{ptr: (*C.char)(memory), len: C.size_t(len(text))}
}

func (kept *texts) free() {
	for _, memory := range *kept {
		C.free(memory)
	}
}

func gostring(text C.te_str) string { return C.GoStringN(text.ptr, C.int(text.len)) }

func check(code C.te_code, failure *C.te_error) {
	if code != C.TE_OK {
		fail("%s: %s", gostring(C.te_code_name(C.int32_t(code))), C.GoString(&failure.message[0]))
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}

func read(file string, into any) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		fail("%s: %v", file, err)
	}
}

func call(engine *C.te_engine, caller, name string, body []byte) (int, string) {
	var kept texts
	defer kept.free()
	failure := C.error_init()
	as := C.te_caller_host()
	if caller != "" {
		named, _ := json.Marshal(map[string]string{"name": caller})
		var made *C.te_caller
		check(C.te_caller_new(kept.str(named), &made, &failure), &failure)
		defer C.te_caller_free(made)
		as = made
	}
	request := C.call_init()
	request.name, request.body = kept.str([]byte(name)), kept.str(body)
	request.request_id = kept.str([]byte("req-1"))
	var answer *C.te_answer
	check(C.te_engine_call(engine, as, &request, &answer, &failure), &failure)
	defer C.te_answer_free(answer)
	return int(C.te_answer_status(answer)), gostring(C.te_answer_body(answer))
}

func calls(folder string) int {
	var kept texts
	defer kept.free()
	failure := C.error_init()
	var engine *C.te_engine
	options := kept.str([]byte(`{"storage":{"memory":true},"tierAuthorities":["gateway"]}`))
	check(C.te_engine_open(options, &engine, &failure), &failure)
	defer C.te_engine_free(engine)
	for _, agent := range []string{`{"id":"agent_001","tier":"VERIFIED"}`, `{"id":"agent_002","tier":"VERIFIED","status":"SUSPENDED"}`} {
		if status, body := call(engine, "", "agents.register", []byte(agent)); status != 201 {
			fail("%s", body)
		}
	}
	names := map[string]string{"evaluateGate": "gates.evaluate", "checkCeiling": "ceilings.check", "record": "provenance.record"}
	var vectors []vector
	read(filepath.Join(folder, "calls.json"), &vectors)
	for _, of := range vectors {
		sent := []byte(of.Body)
		if of.Base64 != "" {
			sent, _ = base64.StdEncoding.DecodeString(of.Base64)
		}
		status, body := call(engine, of.Caller, names[of.Call], sent)
		var answer map[string]any
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != of.Status {
			fail("%s: status %d: %s", of.Name, status, body)
		}
		for field, expected := range of.Expect {
			if !reflect.DeepEqual(answer[field], expected) {
				fail("%s: %s: %s", of.Name, field, body)
			}
		}
		if of.Field != "" {
			details, _ := answer["details"].(map[string]any)
			if details["field"] != of.Field || answer["requestId"] != "req-1" {
				fail("%s: %s", of.Name, body)
			}
		}
		if _, failed := answer["code"]; failed != (status >= 400) || of.Longest != nil && len(body) > *of.Longest {
			fail("%s: %s", of.Name, body)
		}
	}
	return len(vectors)
}

func log(folder string) int {
	var vectors struct {
		VerifierKey string
		Entries     []struct{ Entry string }
		Proof       struct {
			Index int
			Text  string
		}
	}
	read(filepath.Join(folder, "log.json"), &vectors)
	verify := func(entry []byte) C.te_code {
		var kept texts
		defer kept.free()
		proof, key := kept.str([]byte(vectors.Proof.Text)), kept.str([]byte(vectors.VerifierKey))
		return C.te_verify_record(kept.str(entry), proof, key, nil)
	}
	entry := []byte(vectors.Entries[vectors.Proof.Index].Entry)
	if code := verify(entry); code != C.TE_OK {
		fail("the entry was not verified: %s", gostring(C.te_code_name(C.int32_t(code))))
	}
	for at := range entry {
		entry[at] ^= 1
		if verify(entry) != C.TE_NOT_VERIFIED {
			fail("an entry that was changed at %d was verified", at)
		}
		entry[at] ^= 1
	}
	return len(entry)
}

func main() {
	if len(os.Args) != 2 {
		fail("the folder of the vectors is missing")
	}
	answered, changed := calls(os.Args[1]), log(os.Args[1])
	if answered < 50 {
		fail("only %d vectors were read", answered)
	}
	fmt.Printf("go: %d vectors answered as by the other languages, %d changed entries refused\n", answered, changed)
}
