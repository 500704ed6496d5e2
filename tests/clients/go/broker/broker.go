// Package broker is the address of the broker under test, names that no other
// test uses, and waiting with a bound.
package broker

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"testing"
	"time"
)

// WaitMax bounds every wait.
const WaitMax = 30 * time.Second

// Address of the broker, by BOOTSTRAP.
func Address(t testing.TB) string {
	address := os.Getenv("BOOTSTRAP")
	if address == "" {
		t.Fatal("BOOTSTRAP is not set: run tests/clients/run.sh")
	}
	return address
}

// Name is fresh in every run.
func Name(what string) string {
	bytes := make([]byte, 4)
	if _, err := rand.Read(bytes); err != nil {
		panic(err)
	}
	return what + "-" + hex.EncodeToString(bytes)
}

// WaitUntil polls the condition until it holds.
func WaitUntil(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(WaitMax)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, WaitMax)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Check ends the test at an error.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Equal ends the test when two values differ.
func Equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
