// A module of its own, so that no user of package dash resolves what drives a browser.
module github.com/batch-go/batch/dash/browser

go 1.26.0

require (
	github.com/batch-go/batch v0.0.0-00010101000000-000000000000
	github.com/batch-go/batch/driver/redis v0.0.0-00010101000000-000000000000
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260623181947-01eb4420fa68 // indirect
	github.com/redis/go-redis/v9 v9.23.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
)

replace (
	github.com/batch-go/batch => ../..
	github.com/batch-go/batch/driver/redis => ../../driver/redis
)
