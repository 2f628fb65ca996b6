// Package enginetest has conformance suites for what plugs into the engine, and fakes to run them with. It is for tests
// only.
package enginetest
