// Package browser has the tests of package dash in a real Chromium, and no other code. They click and type as people do,
// with a keyboard alone and on a phone too, and look at what the browser says of each page.
//
// make screenshots writes the pictures of docs/dash-tour.md from them.
package browser
