module github.com/batch-go/batch

go 1.26.0
