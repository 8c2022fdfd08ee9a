package health

import (
	"encoding/json"
	"net/http"
)

// probe makes a handler of a function that tells whether all is well, and what to answer as JSON.
func probe(answer func(*http.Request) (well bool, body any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are answered", http.StatusMethodNotAllowed)
			return
		}
		well, body := answer(r)
		text, err := json.Marshal(body)
		if err != nil { // of structs of strings and numbers it cannot fail
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !well {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write(append(text, '\n')) // a client that has gone is no fault of ours
	})
}
