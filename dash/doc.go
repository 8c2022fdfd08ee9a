// Package dash is a dashboard for the queues of any broker, as an [http.Handler] that a program mounts where it likes.
//
//	h, err := dash.New(d, dash.Config{Authorizer: mayOperate})
//	...
//	defer h.Close()
//	http.Handle("/batch/", requireLogin(http.StripPrefix("/batch", h)))
//
// It shows queues with their depth by state, their last minutes and the age of what waits; dead letters by kind and error,
// and where the broker is an Inspector the waiting and scheduled jobs. People redrive, edit and redrive, delete and purge,
// pause and resume, where an [Authorizer] of the program lets them: without one the pages only show. Bodies are hidden
// unless the program sets ShowBodies.
//
// What a broker cannot tell is shown as unknown, never as zero. What is costly, as the dead letters of RabbitMQ and SQS, is
// read only when somebody asks for it, and the page says what it costs. The depths are asked for by one poll for the
// process, however many browsers are open.
//
// All is made on the server, with no build step and no script in a page. A small script renews the numbers; without it the
// pages work too. The document docs/dash.md has how to mount it behind authentication, what costs what on which broker,
// and what it defends against.
package dash
