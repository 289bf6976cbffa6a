// For readers and editors: ../run builds in GOPATH mode from Debian's sources.
module interop

go 1.19

require golang.org/x/mod v0.7.0
