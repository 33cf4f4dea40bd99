//! A cluster over real sockets: who gets the requests, and what becomes of them when a worker is lost.

mod support;

use support::{
    Client,
    cluster::{Cluster, Worker, serving},
    config, eventually,
    moving::{is_told_the_end, open, opened},
};
use volador_gateway::Config;
use volador_proto::link::{Batch, Interest, ListenerId, Match, Payload, ToWorker, WorkerFigures};

#[test]
fn a_request_waits_for_the_first_generation_and_says_since_when() {
    let cluster = Cluster::start(config());
    let mut client = cluster.connect();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut worker = cluster.worker(1, 1, 1);
    assert_eq!(cluster.state(1, 1), "waiting");
    assert!(worker.is_quiet());
    cluster.gateway.promote(1);
    let (id, request) = worker.request();
    let start = request.fields.iter().find(|(name, _)| *name == b"x-request-start").expect("the time").1;
    let start = std::str::from_utf8(start).unwrap().strip_prefix("t=").unwrap().parse::<f64>().unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((now - start).abs() < 10.0, "{start} is not about {now}");
    worker.answer(id, "late");
    assert_eq!(client.reply().body, "late");
    assert_eq!((cluster.stat("queue_waits"), cluster.stat("queued"), cluster.stat("workers")), (1, 0, 1));
    assert!(cluster.stat("queue_wait_micros_max") > 0);
}

#[test]
fn a_worker_is_not_counted_before_it_says_that_it_is_ready() {
    let cluster = Cluster::start(config());
    cluster.gateway.promote(1);
    let mut worker = cluster.link(0, 1, 1, 1);
    let mut client = cluster.connect();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the request waits", || cluster.stat("queued") == 1);
    assert!(worker.is_quiet());
    assert_eq!((cluster.state(1, 1), cluster.stat("workers")), ("gone", 0));
    worker.send(Batch::ready);
    let (id, _) = worker.request();
    worker.answer(id, "now");
    assert_eq!(client.reply().body, "now");
    assert_eq!((cluster.state(1, 1), cluster.stat("workers")), ("serving", 1));
}

#[test]
fn a_guest_that_joins_in_the_process_of_a_worker_that_is_not_ready_is_another_one() {
    let cluster = Cluster::start(config());
    cluster.gateway.promote(1);
    let mut worker = cluster.link(0, 1, 1, 1);
    let guest = cluster.worker(0, 0, 0);
    assert_eq!((cluster.state(0, 0), cluster.state(1, 1)), ("guest", "gone"));
    drop(guest);
    eventually("the guest has left", || cluster.state(0, 0) == "gone");
    worker.send(Batch::ready);
    eventually("the worker serves", || cluster.state(1, 1) == "serving");
}

#[test]
fn the_start_that_a_proxy_in_front_has_set_is_kept() {
    let (cluster, [mut worker]) = serving(config());
    let mut client = cluster.connect();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\nX-Request-Start: t=1\r\n\r\n");
    let (_, request) = worker.request();
    let starts: Vec<_> = request.fields.iter().filter(|(name, _)| *name == b"x-request-start").collect();
    assert_eq!(starts, [(&b"x-request-start"[..], &b"t=1"[..])]);
}

#[test]
fn requests_go_to_the_least_busy_worker() {
    let (cluster, [mut one, mut two]) = serving(config());
    let mut clients: Vec<_> = (0..4).map(|_| cluster.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let ids = [&mut one, &mut two].map(|worker| [worker.request().0, worker.request().0]);
    assert!(one.is_quiet() && two.is_quiet());
    for (worker, ids) in [&mut one, &mut two].into_iter().zip(ids) {
        ids.into_iter().for_each(|id| worker.answer(id, "done"));
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.reply().body, "done"));
}

#[test]
fn a_request_behind_a_slow_one_is_recalled_for_a_worker_that_is_free() {
    let (cluster, [mut slow, mut quick]) = serving(config());
    let mut clients: Vec<_> = (0..4).map(|_| cluster.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    // Both have two, and one thread each. The slow one has begun its first, and will not come to the second.
    let (begun, _) = slow.request();
    let (behind, _) = slow.unbegun_request();
    for _ in 0..2 {
        let (id, _) = quick.request();
        quick.answer(id, "quick");
    }
    assert!(matches!(slow.next_or_recall(), (_, ToWorker::Recall(1))));
    slow.send(|batch| batch.returned(behind));
    let (id, _) = quick.request();
    assert_eq!(id, behind);
    quick.answer(id, "quick");
    slow.answer(begun, "slow");
    let mut bodies: Vec<_> = clients.iter_mut().map(|client| client.reply().body).collect();
    bodies.sort();
    assert_eq!(bodies, ["quick", "quick", "quick", "slow"]);
    assert_eq!((cluster.stat("redispatched"), cluster.stat("queue_waits")), (1, 4));
}

#[test]
fn a_request_goes_to_the_worker_that_has_nothing_to_tell_a_handler() {
    let (cluster, mut one, mut websocket, id) = opened(Some(Interest::MESSAGES));
    let mut two = cluster.worker(2, 1, 1);
    eventually("the other one serves", || cluster.state(2, 1) == "serving");
    let mut client = cluster.connect();
    let mut ask = |from: &mut Worker| {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (id, _) = from.request();
        from.answer(id, "done");
        assert_eq!(client.reply().body, "done");
    };
    websocket.send_frame(1, b"a").send_frame(1, b"b");
    assert_eq!((one.message(), one.message()), ("a".into(), "b".into()));
    (0..3).for_each(|_| ask(&mut two));
    one.send(|batch| batch.handled(id, 1));
    (0..3).for_each(|_| ask(&mut two));
    one.send(|batch| batch.handled(id, 1));
    // In turn again.
    (0..2).for_each(|_| [&mut one, &mut two].into_iter().for_each(&mut ask));
    drop(websocket);
    assert!(matches!(one.next(), (gone, ToWorker::Gone { .. }) if gone == id));
    (0..3).for_each(|_| ask(&mut two));
    one.send(|batch| batch.ended(id));
    eventually("the connection is forgotten", || cluster.stat("handlers") == 0);
    (0..2).for_each(|_| [&mut one, &mut two].into_iter().for_each(&mut ask));
}

#[test]
fn a_request_behind_a_message_is_recalled_for_a_worker_that_has_handled_its_own() {
    let (cluster, mut one, mut first, first_id) = opened(Some(Interest::MESSAGES));
    first.send_frame(1, b"a");
    assert_eq!(one.message(), "a");
    let mut two = cluster.worker(2, 1, 1);
    eventually("the other one serves", || cluster.state(2, 1) == "serving");
    let (mut second, second_id) = open(&cluster, &mut two, Some(Interest::MESSAGES));
    second.send_frame(1, b"b");
    assert_eq!(two.message(), "b");
    assert!(two.is_quiet(), "nor does a look at both that begins now find the request");
    let mut client = cluster.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (busy, free, free_id) = match is_first_told([&mut one, &mut two]) {
        true => (&mut one, &mut two, second_id),
        false => (&mut two, &mut one, first_id),
    };
    let (behind, _) = busy.unbegun_request();
    free.send(|batch| batch.handled(free_id, 1));
    assert!(matches!(busy.next_or_recall(), (_, ToWorker::Recall(1))));
    busy.send(|batch| batch.returned(behind));
    let (id, _) = free.request();
    assert_eq!(id, behind);
    free.answer(id, "at once");
    assert_eq!(client.reply().body, "at once");
    drop((first, second));
    is_told_the_end(&mut one, first_id);
    is_told_the_end(&mut two, second_id);
}

/// Whether it is the first of two workers that gets something.
fn is_first_told([first, second]: [&mut Worker; 2]) -> bool {
    let mut is_first = false;
    eventually("one of them gets something", || {
        is_first = !first.is_quiet();
        is_first || !second.is_quiet()
    });
    is_first
}

/// A worker that runs a request, and then has a message to handle as well.
fn running_beside_a_message() -> (Cluster, Worker, [Client; 2]) {
    let (cluster, mut busy, mut websocket, _) = opened(Some(Interest::MESSAGES));
    let mut client = cluster.connect();
    client.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
    busy.request();
    websocket.send_frame(1, b"a");
    assert_eq!(busy.message(), "a");
    (cluster, busy, [client, websocket])
}

#[test]
fn a_worker_that_has_nothing_to_give_back_keeps_none_that_has_from_being_asked() {
    let (cluster, _busy, _clients) = running_beside_a_message();
    let [mut two, mut three] = [2, 3].map(|number| cluster.worker(number, 1, 1));
    eventually("they serve", || cluster.state(2, 1) == "serving" && cluster.state(3, 1) == "serving");
    let mut clients = [(); 3].map(|()| cluster.connect());
    let mut send = |n: usize| {
        clients[n].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    };
    (0..2).for_each(&mut send);
    let ids = [two.request().0, three.request().0];
    send(2);
    let (slow, quick, id) = match is_first_told([&mut two, &mut three]) {
        true => (&mut two, &mut three, ids[1]),
        false => (&mut three, &mut two, ids[0]),
    };
    let (behind, _) = slow.unbegun_request();
    quick.answer(id, "quick");
    assert!(matches!(slow.next_or_recall(), (_, ToWorker::Recall(1))));
    slow.send(|batch| batch.returned(behind));
    assert_eq!(quick.request().0, behind);
}

#[test]
fn a_worker_that_has_given_nothing_back_is_not_asked_again_and_again() {
    let (cluster, mut busy, [_client, mut websocket]) = running_beside_a_message();
    let _idle = cluster.worker(2, 1, 1);
    eventually("the other one serves", || cluster.state(2, 1) == "serving");
    let mut recalls = 0;
    for _ in 0..20 {
        websocket.send_frame(1, b"b");
        loop {
            match busy.next_or_recall() {
                (_, ToWorker::Recall(_)) => recalls += 1,
                (id, ToWorker::Message(..)) => break busy.send(|batch| batch.handled(id, 1)),
                other => panic!("{other:?}"),
            }
        }
        // So long that there could be another one.
        std::thread::sleep(std::time::Duration::from_millis(6));
    }
    assert!(recalls <= 2, "{recalls} times");
}

#[test]
fn a_full_queue_is_answered_503_and_counts_the_threads_of_all_workers() {
    let (cluster, [_one, _two]) = serving(Config { queue_max: 1, ..config() });
    let mut clients: Vec<_> = (0..3).map(|_| cluster.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    eventually("all three are in", || cluster.stat("requests") == 3);
    let mut client = cluster.connect();
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").reply().status, 503);
}

#[test]
fn a_request_whose_body_does_not_reach_its_worker_is_a_503_that_is_counted() {
    let (cluster, [mut worker]) = serving(config());
    let mut client = cluster.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let (id, _) = worker.unbegun_request();
    worker.send(|batch| batch.refused(id));
    let reply = client.reply();
    assert!(reply.status == 503 && reply.head.contains("retry-after: 1"), "{reply:?}");
    assert_eq!(cluster.stat("refused_busy"), 1);
    assert_eq!(cluster.gateway.workers()[0].in_flight, 0);
    assert!(worker.is_quiet(), "there is nothing to cancel");
}

#[test]
fn a_lost_worker_costs_what_it_had_begun_and_nothing_else() {
    let (cluster, [mut lost, mut other]) = serving(config());
    let mut clients: Vec<_> = (0..4).map(|_| cluster.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    let (_, first) = lost.request();
    let (_, second) = lost.unbegun_request();
    let path = |path: &[u8]| std::str::from_utf8(path).unwrap()[1..].parse::<usize>().unwrap();
    let (begun, unbegun) = (path(first.path()), path(second.path()));
    let journal_word = lost.journal_word();
    assert_eq!(journal_word(), 0);
    drop(lost);
    assert_eq!(clients[begun].reply().status, 502);
    for _ in 0..3 {
        let (id, request) = other.request();
        other.answer(id, std::str::from_utf8(request.path()).unwrap());
    }
    assert_ne!(journal_word(), 0, "the lost worker may live, and must not begin what another one has");
    assert_eq!(clients[unbegun].reply().body, format!("/{unbegun}"));
    eventually("the worker is gone", || cluster.state(1, 1) == "gone" || cluster.state(2, 1) == "gone");
    assert_eq!((cluster.stat("lost_requests"), cluster.stat("redispatched"), cluster.stat("workers")), (1, 1, 1));
}

#[test]
fn a_streamed_answer_of_a_lost_worker_is_cut() {
    let (cluster, [mut worker]) = serving(config());
    let mut client = cluster.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (id, _) = worker.request();
    worker.send(|batch| {
        batch.response(id, 200, [], volador_proto::link::ResponseBody::Stream);
        batch.chunk(id, b"half");
    });
    client.take_until("half\r\n");
    drop(worker);
    // No last chunk: the client can tell.
    assert_eq!(client.rest(), "");
}

#[test]
fn a_request_body_in_a_file_goes_to_another_worker_whole() {
    let (cluster, [mut lost]) = serving(Config { body_memory_bytes: 16, ..config() });
    let mut client = cluster.connect();
    let body = "0123456789".repeat(100);
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    lost.unbegun_request();
    drop(lost);
    let mut other = cluster.worker(2, 1, 1);
    let (id, request) = other.request();
    assert_eq!(support::body_of(&request), body.as_bytes());
    other.answer(id, "ok");
    assert_eq!(client.reply().status, 200);
}

#[test]
fn a_generation_that_is_promoted_gets_the_requests_and_the_old_one_is_idle_when_it_has_answered() {
    let (cluster, [mut old]) = serving(config());
    let mut clients: Vec<_> = (0..2).map(|_| cluster.connect()).collect();
    clients[0].send("GET /old HTTP/1.1\r\nHost: a\r\n\r\n");
    let (id, _) = old.request();
    let mut new = cluster.worker(1, 2, 1);
    cluster.gateway.promote(2);
    assert!(matches!(old.next_or_recall(), (_, ToWorker::Recall(u32::MAX))));
    clients[1].send("GET /new HTTP/1.1\r\nHost: a\r\n\r\n");
    let (new_id, request) = new.request();
    assert_eq!(request.path(), b"/new");
    new.answer(new_id, "new");
    assert_eq!(clients[1].reply().body, "new");
    assert_eq!(cluster.state(1, 1), "retiring");
    old.answer(id, "old");
    assert_eq!(clients[0].reply().body, "old");
    eventually("the old one is idle", || cluster.state(1, 1) == "idle");
    let pid = std::process::id();
    cluster.gateway.dismiss(pid);
    assert!(matches!(old.next(), (_, ToWorker::Stop)));
}

#[test]
fn a_worker_that_is_dismissed_before_it_is_ready_gets_no_requests() {
    let (cluster, []) = serving(config());
    let mut young = cluster.link(0, 1, 1, 1);
    cluster.gateway.dismiss(std::process::id());
    assert!(matches!(young.next(), (_, ToWorker::Stop)));
    young.send(volador_proto::link::Batch::ready);
    let mut client = cluster.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut other = cluster.worker(2, 1, 1);
    let (id, _) = other.request();
    other.answer(id, "other");
    assert_eq!(client.reply().body, "other");
    assert!(young.is_quiet());
}

#[test]
fn a_guest_gets_no_requests_and_is_told_figures_and_publications() {
    let (cluster, [mut worker]) = serving(config());
    let mut guest = cluster.worker(0, 0, 0);
    assert_eq!(cluster.state(0, 0), "guest");
    guest.send(|batch| {
        batch.listen(ListenerId(1), Match::Exact, b"news");
        batch.ask_stats(7);
    });
    let (_, ToWorker::Stats { token: 7, figures }) = guest.next() else { panic!("no figures") };
    let figures = String::from_utf8(figures.to_vec()).unwrap();
    assert!(figures.contains("workers 1\n") && figures.contains("subscriptions 1\n"), "{figures}");
    // Listeners of two workers with the same number are two.
    worker.send(|batch| {
        batch.listen(ListenerId(1), Match::Exact, b"news");
        batch.publish(b"news", Payload::Text, b"hello");
    });
    for one in [&mut guest, &mut worker] {
        let (_, ToWorker::Published { listener: ListenerId(1), data, .. }) = one.next() else { panic!("nothing") };
        assert_eq!(data, "hello");
    }
    drop(guest);
    eventually("its subscription ends with it", || cluster.stat("subscriptions") == 1);
}

fn figures(dropped: u64, queue_wait_micros: u64, queue_wait_micros_max: u64) -> WorkerFigures {
    WorkerFigures { dropped, queue_wait_micros, queue_wait_micros_max }
}

#[test]
fn a_worker_that_beats_is_not_quiet_and_one_that_completes_is_not_stuck() {
    let (cluster, [mut worker]) = serving(config());
    let report = || cluster.gateway.workers().remove(0);
    eventually("a while without a beat", || report().quiet.as_millis() > 50);
    eventually("a beat counts", || {
        worker.send(|batch| batch.beat(figures(3, 700, 500)));
        report().quiet.as_millis() < 50
    });
    worker.send(|batch| batch.beat(figures(5, 1000, 600)));
    eventually("what it has dropped is counted", || cluster.stat("dropped_block") == 5);
    // No request has waited in the gateway.
    assert_eq!((cluster.stat("queue_wait_micros"), cluster.stat("queue_wait_micros_max")), (1000, 600));
    let mut clients: Vec<_> = (0..2).map(|_| cluster.connect()).collect();
    clients[0].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (first, _) = worker.request();
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert!(report().stuck.is_zero(), "nobody waits for its thread");
    clients[1].send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    worker.unbegun_request();
    eventually("a request waits for it", || report().stuck.as_millis() > 20);
    worker.answer(first, "");
    clients[0].reply();
    assert!(report().stuck.is_zero());
}

#[test]
fn who_does_not_say_who_it_is_does_not_join() {
    let (cluster, [_worker]) = serving(config());
    let mut stranger = cluster.stranger();
    std::io::Write::write_all(&mut stranger, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stranger, &mut rest).unwrap();
    assert_eq!((rest.len(), cluster.gateway.workers().len()), (0, 1));
}

#[test]
fn requests_that_wait_on_every_shard_are_served_by_one_worker() {
    const CLIENTS: usize = 60;
    let cluster = Cluster::start(Config { shards: 2, ..config() });
    // More than the worker has room for, and some before it is there.
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| cluster.connect()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    eventually("all wait", || cluster.stat("queued") == CLIENTS as u64);
    let mut links = [cluster.link(0, 1, 1, 1), cluster.link(1, 1, 1, 1)];
    links[0].send(Batch::ready);
    cluster.gateway.promote(1);
    let threads: Vec<_> = links
        .into_iter()
        .map(|mut link| {
            std::thread::spawn(move || {
                while let Some((id, frame)) = link.next_or_end() {
                    if matches!(frame, ToWorker::Request(_)) {
                        link.begin(id, 1);
                        link.answer(id, "done");
                    }
                }
            })
        })
        .collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.reply().body, "done"));
    assert_eq!(cluster.stat("queued"), 0);
    drop(cluster);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
