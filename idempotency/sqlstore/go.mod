module github.com/batch-go/batch/idempotency/sqlstore

go 1.26.0

require github.com/batch-go/batch v0.0.0-00010101000000-000000000000

replace github.com/batch-go/batch => ../..
