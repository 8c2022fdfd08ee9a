package api

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/examples/orders/shop"
)

// ask returns the status of an answer.
func ask(t *testing.T, h http.Handler, method, path, key, body string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// What is wrong with a request the answer says, also while the database is away, and what is wrong with that is no fault of
// the client's.
func TestStatus(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), "postgres://shop@"+nobody+"/shop?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	h := Handler(&shop.DB{Pool: pool}, slog.New(slog.DiscardHandler))
	const good = `{"item": "tea", "cents": 250}`
	for _, test := range []struct {
		method, path, key, body string
		want                    int
	}{
		{"POST", "/orders", "", good, http.StatusBadRequest},
		{"POST", "/orders", "k", `{"item": `, http.StatusBadRequest},
		{"POST", "/orders", "k", `{"item": "tea", "cents": "250"}`, http.StatusBadRequest},
		{"POST", "/orders", "k", `{"item": "tea", "cents": -1}`, http.StatusBadRequest},
		{"POST", "/orders", "k", `{"item": "tea", "cents": 1e30}`, http.StatusBadRequest},
		{"POST", "/orders", "k", `{"item": "", "cents": 250}`, http.StatusBadRequest},
		{"POST", "/orders", "k", `{"item": "\u0000", "cents": 250}`, http.StatusBadRequest},
		{"POST", "/orders", "k", `{"item": "` + strings.Repeat("x", 1<<17) + `", "cents": 250}`, http.StatusBadRequest},
		{"POST", "/orders", strings.Repeat("k", 5000), good, http.StatusBadRequest},
		{"POST", "/order", "k", good, http.StatusNotFound},
		{"PUT", "/orders", "k", good, http.StatusMethodNotAllowed},
		{"GET", "/orders/x", "", "", http.StatusBadRequest},
		{"GET", "/", "", "", http.StatusNotFound},
		{"POST", "/orders", "k", good, http.StatusServiceUnavailable},
		{"GET", "/orders/1", "", "", http.StatusServiceUnavailable},
	} {
		if got := ask(t, h, test.method, test.path, test.key, test.body); got != test.want {
			t.Errorf("%s %s with %.60s: the status is %d, want %d", test.method, test.path, test.body, got, test.want)
		}
	}
	for err, want := range map[error]int{
		&pgconn.PgError{Code: "42P01"}:              http.StatusInternalServerError,
		&pgconn.PgError{Code: "53100"}:              http.StatusServiceUnavailable,
		&pgconn.PgError{Code: "40001"}:              http.StatusServiceUnavailable,
		errors.New("unknown"):                       http.StatusInternalServerError,
		batch.ErrUnavailable:                        http.StatusServiceUnavailable,
		batch.ErrConfig:                             http.StatusInternalServerError,
		fmt.Errorf("read: %w", io.ErrUnexpectedEOF): http.StatusServiceUnavailable,
	} {
		w := httptest.NewRecorder()
		if fail(w, fmt.Errorf("place: %w", err)); w.Code != want {
			t.Errorf("%v: the status is %d, want %d", err, w.Code, want)
		}
	}
}
