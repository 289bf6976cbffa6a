module trust-engine/ffi/tests/go

go 1.19
