package outbox

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
)

const (
	// pageRows is how many jobs are read at once.
	pageRows = 100
	// wholeBytes is how large a form may be to be read with those of others: a hundred are less than pageBytes. A larger one
	// is read by itself, if there is room for it.
	wholeBytes = 64 << 10
)

// key tells the rows of a box apart.
type key struct {
	id int64
	// at is when it was stored. A server that takes over may lack the last rows, and give their numbers to others.
	at int64
}

// querier is a database, or a transaction in it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// committed calls read with what sees all that was committed, and nothing else: a job of a transaction that is open would be
// there for ever if that is rolled back. MySQL shows it where READ UNCOMMITTED is the default of the server or the session. read
// may not begin anything else.
func (b *Box) committed(ctx context.Context, read func(querier) error) error {
	if !b.text.levels {
		return read(b.db)
	}
	tx, err := b.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted, ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := read(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// queues are those of which jobs wait, sorted. Some may be of transactions that are open. It costs a look into the index for
// each, however many jobs there are.
func (b *Box) queues(ctx context.Context) (names []string, err error) {
	for from := ""; ; {
		var name []byte
		err := b.db.QueryRowContext(ctx, b.text.next, []byte(from)).Scan(&name)
		if errors.Is(err, sql.ErrNoRows) {
			return names, nil
		}
		if err != nil {
			return nil, b.failed("read", err)
		}
		names = append(names, string(name))
		from = string(name) + "\x00" // what comes next
	}
}

// first are the keys and forms of the first jobs of a queue that wait. The form of a large one is nil.
func (b *Box) first(ctx context.Context, db querier, queue string) (keys []key, forms [][]byte, err error) {
	rows, err := db.QueryContext(ctx, b.text.page, wholeBytes, []byte(queue), pageRows)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var k key
		var form []byte
		if err := rows.Scan(&k.id, &k.at, &form); err != nil {
			return nil, nil, err
		}
		keys, forms = append(keys, k), append(forms, form)
	}
	return keys, forms, rows.Err()
}

// remove deletes rows that were read. One that is another by now stays.
func (b *Box) remove(ctx context.Context, keys []key) error {
	for some := range slices.Chunk(keys, mostRows) {
		args := make([]any, 0, 2*len(some))
		for _, k := range some {
			args = append(args, k.id, k.at)
		}
		if _, err := b.db.ExecContext(ctx, b.text.remove+strings.Repeat(b.text.pair, len(some)-1)+")", args...); err != nil {
			return b.failed("delete", err)
		}
	}
	return nil
}
