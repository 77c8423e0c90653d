// Sends three messages: with STARTTLS, with TLS from the start, and a second one over a pooled connection.
'use strict';
const fs = require('fs');
const nodemailer = require('nodemailer');

const common = {
    host: '127.0.0.1', // localhost may be ::1 first, and before version 20 node tries no second address
    auth: { user: process.env.LOGIN, pass: process.env.PASSWORD },
    tls: { ca: fs.readFileSync(process.env.CERTIFICATE), servername: 'localhost' },
};
const mail = {
    from: process.env.LOGIN,
    to: process.env.TO,
    subject: 'by nodemailer',
    text: 'Grüße\n.\n..\n',
    html: '<p>Grüße</p>',
    attachments: [{ filename: 'a.txt', content: 'x'.repeat(100000) }],
};

async function main() {
    const starttls = nodemailer.createTransport({ ...common, port: process.env.STARTTLS_PORT, requireTLS: true });
    await starttls.sendMail(mail);
    const pool = nodemailer.createTransport({ ...common, port: process.env.TLS_PORT, secure: true, pool: true, maxConnections: 1 });
    for (let i = 0; i < 2; i++) {
        const info = await pool.sendMail(mail);
        if (info.rejected.length !== 0)
            throw new Error('rejected: ' + info.rejected);
    }
    pool.close();
    starttls.close();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
