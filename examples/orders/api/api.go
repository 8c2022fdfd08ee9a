// Package api is the part of the shop that takes orders.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/examples/orders/shop"
)

// Order is an order as clients see it.
type Order struct {
	ID    int64  `json:"id"`
	Item  string `json:"item"`
	Cents int64  `json:"cents"`
	// Charge is the number of the charge, once the order is paid.
	Charge string `json:"charge,omitempty"`
}

// api answers requests.
type api struct {
	db  *shop.DB
	log *slog.Logger
}

// Handler answers POST /orders and GET /orders/{id}. A POST has the header Idempotency-Key: a client that got no answer
// repeats the request with the same key, and there is one order.
func Handler(db *shop.DB, log *slog.Logger) http.Handler {
	a := &api{db: db, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", a.post)
	mux.HandleFunc("GET /orders/{id}", a.get)
	return mux
}

// errOther is a key that was used for another order.
var errOther = errors.New("the key is that of another order")

// place stores an order and the job that charges it, or finds what the key has stored before.
func (a *api) place(ctx context.Context, key string, o Order) (placed Order, fresh bool, err error) {
	err = pgx.BeginFunc(ctx, a.db.Pool, func(tx pgx.Tx) error {
		placed = o
		err := tx.QueryRow(ctx, `INSERT INTO shop.orders (key, item, cents) VALUES ($1, $2, $3)
			ON CONFLICT (key) DO NOTHING RETURNING id`, key, o.Item, o.Cents).Scan(&placed.ID)
		if errors.Is(err, pgx.ErrNoRows) {
			fresh = false
			err = tx.QueryRow(ctx, `SELECT id, item, cents FROM shop.orders WHERE key = $1`, key).Scan(&placed.ID, &placed.Item, &placed.Cents)
			if err == nil && (placed.Item != o.Item || placed.Cents != o.Cents) {
				return errOther
			}
			return err
		}
		if err != nil {
			return err
		}
		fresh = true
		// The order and its job are there together from the commit on, or neither ever is.
		_, err = batch.EnqueueTx(ctx, tx, a.db.Charges, shop.ChargeOrder{Order: placed.ID}, batch.ID(a.db.Charges, shop.Name(placed.ID)))
		return err
	})
	return placed, fresh, err
}

// post takes an order.
func (a *api) post(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	var o Order
	key := r.Header.Get("Idempotency-Key")
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&o); err != nil || !isText(key) || !isText(o.Item) || o.Cents <= 0 {
		http.Error(w, "want the header Idempotency-Key, and an item and its cents", http.StatusBadRequest)
		return
	}
	placed, fresh, err := a.place(ctx, key, Order{Item: o.Item, Cents: o.Cents})
	switch {
	case errors.Is(err, errOther):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	case err != nil:
		// The commit may have been carried out nevertheless. The key makes it safe to ask again.
		a.log.ErrorContext(ctx, "an order was not taken", "err", err)
		fail(w, err)
	case fresh:
		answer(w, http.StatusCreated, placed)
	default:
		answer(w, http.StatusOK, placed)
	}
}

// get shows an order.
func (a *api) get(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		http.Error(w, "the order's ID is not a number", http.StatusBadRequest)
		return
	}
	o := Order{ID: id}
	err = a.db.Pool.QueryRow(r.Context(), `SELECT o.item, o.cents, coalesce(p.charge, '')
		FROM shop.orders o LEFT JOIN shop.payments p ON p.order_id = o.id WHERE o.id = $1`, id).Scan(&o.Item, &o.Cents, &o.Charge)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		http.Error(w, "there is no such order", http.StatusNotFound)
	case err != nil:
		a.log.ErrorContext(r.Context(), "an order was not shown", "err", err)
		fail(w, err)
	default:
		answer(w, http.StatusOK, o)
	}
}

// answer sends an order.
func answer(w http.ResponseWriter, status int, o Order) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(o)
}
