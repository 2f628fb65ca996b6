// Command hook is a destination to try the http output with: it listens on 127.0.0.1:8080, prints what it takes, and refuses with
// status 400 what has its argument in it.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 2 || os.Args[1] == "" {
		fmt.Fprintln(os.Stderr, "usage: hook TEXT-TO-REFUSE")
		os.Exit(2)
	}
	refused := []byte(os.Args[1])
	hook := &http.Server{Addr: "127.0.0.1:8080", ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			switch body, err := io.ReadAll(r.Body); {
			case err != nil: // the gateway sends it again
				http.Error(w, err.Error(), http.StatusInternalServerError)
			case bytes.Contains(body, refused):
				http.Error(w, "it has "+os.Args[1]+" in it", http.StatusBadRequest)
			default:
				_, _ = os.Stdout.Write(body) // whoever reads it may be gone
			}
		})}
	if err := hook.ListenAndServe(); err != nil {
		fmt.Fprintln(os.Stderr, "hook:", err)
		os.Exit(1)
	}
}
